"""Finds nginx, through which tests reach a server; `python -m hack.nginx` fetches it if it is missing."""

from __future__ import annotations

import sys
from pathlib import Path

from hack.cluster.errors import CannotRunError
from hack.debian_package import DebianPackage

PACKAGE = DebianPackage("nginx", "nginx", Path("usr/sbin"), ("nginx",), fetch_seconds=10)


def nginx() -> Path:
    """Path of the program. Raises `CannotRunError` if it is missing and cannot be fetched."""
    return PACKAGE.program("nginx")


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
