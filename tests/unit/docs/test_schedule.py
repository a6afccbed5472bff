"""The how-to page on schedules shows what its commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tts_operator.cli.kubectl_tts import main

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "schedule.md"
FILES = re.compile(r"```yaml\n# (\S+)\n(.*?)```", re.DOTALL)
RUNS = re.compile(r"```console\n\$ kubectl tts (schedule -f \w[^\n]*)\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), RUNS.findall(PAGE.read_text()))
def test_the_page_shows_what_the_command_prints(
    command: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.findall(PAGE.read_text()):
        Path(name).write_text(text)
    shop = Path("shop.yaml").read_text()
    Path("typo.yaml").write_text(shop.replace('"06:00"', '"22:00"').replace("Sat, Sun", "Saturday"))
    status = main(shlex.split(command))
    out, err = capsys.readouterr()
    assert out + err == shown
    assert status == (1 if "typo" in command else 0)
