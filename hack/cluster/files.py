"""What a file system can carry."""

from __future__ import annotations

from pathlib import Path


def on_overlay(folder: Path) -> bool:
    """An overlay cannot be the upper layer of another: true inside most containers."""
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, file_system, *_ = line.split()
        if (str(folder) + "/").startswith(target.rstrip("/") + "/") and len(target) >= len(best):
            best, kind = target, file_system
    return kind == "overlay"
