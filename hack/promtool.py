"""Finds promtool and Prometheus, for tests of alerts and bills; `python -m hack.promtool` fetches what is missing.

The Debian package is unpacked into the cache, not installed: installed, it would start a Prometheus.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from hack.cluster.binaries import locked
from hack.cluster.commands import run
from hack.cluster.errors import CannotRunError, CommandError
from hack.cluster.files import cache_folder
from hack.cluster.progress import step

PACKAGE = "prometheus"


PROGRAMS = ("promtool", "prometheus")


def promtool() -> Path:
    """Path of the program. Raises `CannotRunError` if it is missing and cannot be fetched."""
    return _program("promtool")


def prometheus_server() -> Path:
    """Path of Prometheus itself. Raises `CannotRunError` if it is missing and cannot be fetched."""
    return _program("prometheus")


def _program(name: str) -> Path:
    if found := shutil.which(name):
        return Path(found)
    folder = cache_folder() / "promtool"
    program = folder / "usr" / "bin" / name
    if program.exists():
        return program
    if shutil.which("apt-get") is None:
        raise CannotRunError(f"{name} is missing: install Prometheus, which contains it.")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        if not program.exists():
            _fetch(folder)
    return program


def _fetch(folder: Path) -> None:
    with step("fetching Prometheus", 20), tempfile.TemporaryDirectory(prefix="ttsfleet-promtool-") as draft:
        if os.geteuid() == 0:
            Path(draft).chmod(0o755)  # apt downloads as a user of its own
        try:
            run(["apt-get", "download", "-qq", PACKAGE], folder=Path(draft))
        except CommandError:
            if os.geteuid() != 0:
                raise CannotRunError(
                    f"Prometheus is missing, and apt does not know the package {PACKAGE}: run `apt-get update` as root."
                ) from None
            run(["apt-get", "update", "-qq"])
            run(["apt-get", "download", "-qq", PACKAGE], folder=Path(draft))
        [package] = Path(draft).glob("*.deb")
        run(["dpkg-deb", "-x", package, Path(draft) / "unpacked"])
        target = folder / "usr" / "bin"
        target.mkdir(parents=True, exist_ok=True)
        for name in PROGRAMS:
            shutil.move(Path(draft) / "unpacked" / "usr" / "bin" / name, target / f"{name}.draft")
            (target / f"{name}.draft").rename(target / name)


def main() -> int:
    """Print the paths of both programs."""
    try:
        print(f"promtool: {promtool()}")
        print(f"prometheus: {prometheus_server()}")
    except CannotRunError as error:
        print(f"promtool: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
