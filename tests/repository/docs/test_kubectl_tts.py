"""How-to pages show what their commands of `kubectl tts` print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tts_operator.cli.kubectl_tts import main

PAGES = [Path(__file__).parents[3] / "docs" / "how-to" / f"{name}.md" for name in ("schedule", "cost")]
FILES = re.compile(r"```(?:yaml|text)(?: \w+)?\n# (\S+)\n(.*?)```", re.DOTALL)
RUNS = re.compile(r"```console\n\$ kubectl tts ((?:schedule|plan) -f \w[^\n]*)\n(.*?)```", re.DOTALL)
SHOWN = [(page, command, shown) for page in PAGES for command, shown in RUNS.findall(page.read_text(encoding="utf-8"))]


def test_every_page_has_a_command() -> None:
    assert {page for page, _, _ in SHOWN} == set(PAGES)


@pytest.mark.parametrize(("page", "command", "shown"), SHOWN, ids=[command for _, command, _ in SHOWN])
def test_the_page_shows_what_the_command_prints(
    page: Path,
    command: str,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.findall(page.read_text(encoding="utf-8")):
        Path(name).write_text(text)
    status = main(shlex.split(command))
    out, err = capsys.readouterr()
    assert out + err == shown
    assert status == (1 if "typo" in command else 0)
