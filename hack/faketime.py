"""Finds libfaketime, which shows another time to one process.

`python -m hack.faketime` installs it if it is missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from hack.cluster import packages
from hack.cluster.errors import CannotRunError

FOLDERS = (Path("/usr/lib"), Path("/usr/local/lib"), Path("/opt/homebrew/lib"))
NAMES = ("libfaketimeMT.so.1", "libfaketimeMT.1.dylib")
PACKAGES: Mapping[str, str] = {"faketime": "faketime"}


def installed() -> Path:
    """Path of the library, which is installed if it is missing. Raises CannotRunError if it cannot be installed."""
    if (found := _found()) is not None:
        return found
    if os.geteuid() != 0:
        raise CannotRunError("libfaketime is missing: install it, or run this as root, which installs it.")
    packages.ensure(PACKAGES)
    if (found := _found()) is None:
        raise CannotRunError("libfaketime is missing, and the package faketime does not contain it.")
    return found


def shifted(library: Path, file: Path) -> dict[str, str]:
    """Environment of a process whose wall clock is shifted by what the file says; other clocks are the machine's."""
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",  # its name in versions before 0.9.10
    }


def shift(file: Path, seconds: float) -> None:
    """Shift the clock of the processes that read this file, from now on. They never read half of it."""
    draft = file.with_suffix(".draft")
    draft.write_text(f"{seconds:+.0f}\n", encoding="ascii")
    draft.rename(file)


def _found() -> Path | None:
    patterns = [
        (folder, f"{depth}{name}")
        for folder in FOLDERS
        for depth in ("", "faketime/", "*/faketime/", "*/")
        for name in NAMES
    ]
    return next((path for folder, pattern in patterns for path in sorted(folder.glob(pattern))), None)


def main() -> int:
    try:
        print(installed())
    except CannotRunError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
