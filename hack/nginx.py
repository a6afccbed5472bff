"""Finds nginx, through which tests reach a server; `python -m hack.nginx` fetches it if it is missing.

The Debian package is unpacked into the cache, not installed: installed, it would start a web server.
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

PACKAGE = "nginx"


def nginx() -> Path:
    """Path of the program. Raises `CannotRunError` if it is missing and cannot be fetched."""
    if found := shutil.which("nginx"):
        return Path(found)
    folder = cache_folder() / "nginx"
    program = folder / "nginx"
    if program.exists():
        return program
    if shutil.which("apt-get") is None:
        raise CannotRunError("nginx is missing: install it.")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        if not program.exists():
            _fetch(program)
    return program


def _fetch(program: Path) -> None:
    with step("fetching nginx", 10), tempfile.TemporaryDirectory(prefix="ttsfleet-nginx-") as draft:
        if os.geteuid() == 0:
            Path(draft).chmod(0o755)  # apt downloads as a user of its own
        try:
            run(["apt-get", "download", "-qq", PACKAGE], folder=Path(draft))
        except CommandError:
            if os.geteuid() != 0:
                raise CannotRunError(
                    f"nginx is missing, and apt does not know the package {PACKAGE}: run `apt-get update` as root."
                ) from None
            run(["apt-get", "update", "-qq"])
            run(["apt-get", "download", "-qq", PACKAGE], folder=Path(draft))
        [package] = Path(draft).glob("*.deb")
        run(["dpkg-deb", "-x", package, Path(draft) / "unpacked"])
        fresh = program.with_name("nginx.draft")
        shutil.move(Path(draft) / "unpacked" / "usr" / "sbin" / "nginx", fresh)
        fresh.rename(program)


def main() -> int:
    """Print the path of nginx."""
    try:
        print(f"nginx: {nginx()}")
    except CannotRunError as error:
        print(f"nginx: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
