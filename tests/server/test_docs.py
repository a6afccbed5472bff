"""The commands of the pages for a `tts-server` on a laptop, pasted as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from tests.support.doc_blocks import (
    PAGES,
    ROOT,
    bare_machine,
    blocks,
    clone,
    free_port,
    on_port,
    pages_with,
    paste,
    script,
)

pytestmark = pytest.mark.timeout(600)
README = PAGES[0]


@dataclass(frozen=True)
class Laptop:
    """Machine on which the README's section on the server alone was pasted."""

    folder: Path
    environment: dict[str, str]
    said: str


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """Paste the README's commands, which install the server."""
    folder = clone(tmp_path_factory.mktemp("laptop") / "ttsfleet")
    environment = bare_machine(folder.parent)
    said = paste(on_port(script(blocks(README), "server"), free_port()), folder, environment)
    path = f"{folder / 'build' / 'venv' / 'bin'}:{environment['PATH']}"  # as `activate` sets it
    return Laptop(folder, {**environment, "PATH": path}, said)


def test_the_readme_gives_speech(laptop: Laptop) -> None:
    samples, sample_rate_hz = soundfile.read(laptop.folder / "hello.mp3")
    assert 0.5 < len(samples) / sample_rate_hz < 5
    assert "Traceback" not in laptop.said


@pytest.mark.parametrize(
    "page", [page for page in pages_with("server") if page != README], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_commands_of_a_page_work(laptop: Laptop, tmp_path: Path, page: Path) -> None:
    said = paste(on_port(script(blocks(page), "server"), free_port()), tmp_path, laptop.environment)
    assert "Traceback" not in said
