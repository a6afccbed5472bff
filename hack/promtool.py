"""Finds promtool and Prometheus, for tests of alerts and bills; `python -m hack.promtool` fetches what is missing."""

from __future__ import annotations

import sys
from pathlib import Path

from hack.cluster.errors import CannotRunError
from hack.debian_package import DebianPackage

PACKAGE = DebianPackage("prometheus", "Prometheus", Path("usr/bin"), ("promtool", "prometheus"), fetch_seconds=20)


def promtool() -> Path:
    """Path of the program. Raises `CannotRunError` if it is missing and cannot be fetched."""
    return PACKAGE.program("promtool")


def prometheus_server() -> Path:
    """Path of Prometheus itself. Raises `CannotRunError` if it is missing and cannot be fetched."""
    return PACKAGE.program("prometheus")


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
