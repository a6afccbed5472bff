"""The commands of the pages that need pods, pasted as they are on a machine with kubectl, curl and Python."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from e2e.kube import Kube
from e2e.platform import Platform
from hack import demo
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

pytestmark = pytest.mark.timeout(1200)
EXAMPLES = ROOT / "examples"
OF_THE_DEMO = ("model-espeak.yaml", "tenant.yaml")
MODEL, NAMESPACE = "ttsmodel/espeak", f"namespace/{demo.NAMESPACE}"


@dataclass(frozen=True)
class Desk:
    """Clone of the repository, and the environment of somebody who has just made it."""

    folder: Path
    environment: dict[str, str]

    async def pastes(self, text: str, folder: Path | None = None) -> str:
        """Paste commands, on a port that is free; none of them may print a traceback."""
        moved = on_port(text, free_port())
        said = await asyncio.to_thread(paste, moved, folder or self.folder, self.environment)
        assert "Traceback" not in said, said
        return said


@pytest.fixture
async def desk(platform: Platform, tmp_path: Path) -> AsyncIterator[Desk]:
    """A new clone; afterwards the objects of the pages are as before, whether or not a demo has made them."""
    kube = platform.kube
    before = {what: await exists(kube, what) for what in (NAMESPACE, MODEL)}
    folder = clone(tmp_path / "ttsfleet")
    environment = bare_machine(tmp_path, [kube.kubectl_path], KUBECONFIG=str(kube.kubeconfig.resolve()))
    yield Desk(folder, environment)
    for what, was_there in before.items():
        if not was_there:
            await kube.kubectl("delete", what, "--ignore-not-found", "--timeout=300s")
    if before[NAMESPACE]:
        files = [word for file in OF_THE_DEMO for word in ("-f", str(EXAMPLES / file))]
        await kube.kubectl("apply", "--server-side", "--force-conflicts", *files)


async def exists(kube: Kube, what: str) -> bool:
    return bool(await kube.kubectl("get", what, "--ignore-not-found", "-o", "name"))


async def test_every_page_works_as_pasted(desk: Desk) -> None:
    """Given an operator, when somebody pastes the README and then each page, every command works."""
    for page in sorted(pages_with("cluster"), key=PAGES.index):
        for audio in desk.folder.glob("hello.*"):
            audio.unlink()
        said = await desk.pastes(script(blocks(page), "cluster"))
        print(f"{page.relative_to(ROOT)}: {len(said.splitlines())} lines")
        for audio in desk.folder.glob("hello.*"):
            assert seconds_of(audio) > 0.5
    await desk.pastes(script(blocks(EXAMPLES / "README.md"), "cluster"))
    elsewhere = desk.folder.parent / "elsewhere"
    elsewhere.mkdir()
    said = await desk.pastes(demo.commands(Path(desk.environment["KUBECONFIG"])), elsewhere)
    assert demo.TENANT in said
    assert seconds_of(elsewhere / "hello.wav") > 0.5


def seconds_of(audio: Path) -> float:
    samples, sample_rate_hz = soundfile.read(audio)
    return float(len(samples) / sample_rate_hz)
