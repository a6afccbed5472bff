"""The fenced blocks of the pages that people paste from, and a shell to paste them into.

The first word after a fence is the language. The words after it say which tests run the block:

- `server`: beside a `tts-server` on this machine (tests/server/test_docs.py);
- `api`: with an API server that has the chart and the examples, but no node (tests/integration/test_docs.py);
- `cluster`: on a cluster with pods (e2e/test_docs.py);
- `tenant`, `model`: part of a manifest of this kind, which the API server must accept (tests/integration/test_docs.py);
- `values`: values of the chart, which Helm must accept and render (tests/integration/test_docs.py);
- `norun`: nothing runs it; a comment above the fence says why.

The blocks of a page run in order, as one script. A block whose first line is `# NAME`, the name of a file, is
that file.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "examples" / "README.md",
    *(
        ROOT / "docs" / "how-to" / f"{name}.md"
        for name in (
            "install",
            "private-registries",
            "sizing",
            "expose",
            "upgrade",
            "backup",
            "publish-a-model",
            "publish-a-voice",
            "onboard-a-tenant",
            "schedule",
            "autoscale",
            "cost",
            "call",
            "keys",
            "tokens",
            "limits",
            "storage",
            "observe",
            "playground",
            "share-a-pool",
            "gitops",
            "troubleshoot",
            "engines",
            "speech-servers",
            "torch-engines",
        )
    ),
)
"""Pages in the order of the README's list of them."""
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"<!-- not run: (.+?) -->\n\Z", re.DOTALL)
FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
HTTP_PORT = "8080"
"""Port on this machine that the pages use, of a server or of a port-forward."""
PASTE_SECONDS = 900


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    places: tuple[str, ...]
    text: str
    reason: str
    """Why nothing runs it; empty without a comment that says so."""

    @property
    def file(self) -> str:
        """Name of the file that the block is; empty for commands."""
        match = FILE.match(self.text) if self.language != "sh" else None
        return match[1] if match else ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Blocks of a page, from top to bottom."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        language, *places = match[1].split() or [""]
        comment = COMMENT.search(text[: match.start()])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, tuple(places), match[2], comment[1] if comment else ""))
    return found


def pages_with(place: str) -> list[Path]:
    """Pages with commands for this place."""
    return [page for page in PAGES if script(blocks(page), place)]


def script(found: Iterable[Block], place: str) -> str:
    """Commands for this place as one shell script, which writes the files of the blocks; empty without commands."""
    parts, any_command = [], False
    for block in found:
        if block.file:
            folder = Path(block.file).parent
            parts.append(f"mkdir -p {folder}\ncat > {block.file} <<'FILE'\n{block.text}FILE\n")
        elif place in block.places:
            any_command = True
            marked = f": {block}\n"
            parts.append(
                marked + (f"python3 <<'PYTHON'\n{block.text}PYTHON\n" if block.language == "python" else block.text)
            )
    return "".join(parts) if any_command else ""


def clone(folder: Path) -> Path:
    """Copy of the checkout, as a fresh clone has it."""
    left_out = shutil.ignore_patterns(".git", ".venv", "build", "dist", "__pycache__", "*.egg-info", ".*_cache")
    return Path(shutil.copytree(ROOT, folder, ignore=left_out))


def bare_machine(folder: Path, programs: Sequence[Path] = (), **more: str) -> dict[str, str]:
    """Environment of somebody with a new home, the system's programs, Python and these programs.

    `pip install` finds what this run's own environment has, and needs no network.
    """
    home, path = folder / "home", folder / "bin"
    home.mkdir()
    path.mkdir()
    base = Path(sys.executable).resolve()
    for program, target in {"python3": base, **{program.name: program for program in programs}}.items():
        (path / program).symlink_to(target)
    packages = next(entry for entry in sys.path if entry.endswith("site-packages"))
    return {
        "HOME": str(home),
        "PATH": f"{path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": packages,
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the negation: builds happen in this environment
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **more,
    }


def free_port() -> int:
    """Port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_port(text: str, port: int) -> str:
    """Commands with another port in place of 8080, which may be in use on a machine that runs tests."""
    moved = re.sub(rf"\b{HTTP_PORT}\b", str(port), text)
    return re.sub(
        r"^(|.* )tts-server(?= (&|--config))",
        rf"\1tts-server --port={port} --metrics-port=0",
        moved,
        flags=re.MULTILINE,
    )


def paste(text: str, cwd: Path, environment: Mapping[str, str]) -> str:
    """Run commands as one script that ends at the first failure. Returns what they print; raises AssertionError.

    What they leave running in the background ends with them.
    """
    output = cwd / ".output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["bash", "-xeuo", "pipefail", "-c", text],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(PASTE_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    said = output.read_text(encoding="utf-8", errors="replace")
    assert status == 0, f"exit code {status}:\n{said[-6000:]}"
    return said
