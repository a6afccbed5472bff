"""Folders of the machine that a local cluster uses."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def cache_folder() -> Path:
    """Folder for builds, shared by all checkouts: XDG_CACHE_HOME/ttsfleet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ttsfleet"


@dataclass(frozen=True)
class CoverPoints:
    """Folders of the machine over which, inside a mount namespace, the cluster's folders are mounted.

    A mount point must exist. Those that have to be made are recorded first, and `remove` removes them.
    """

    record: Path

    def make(self, targets: Sequence[str]) -> None:
        """Make the targets that do not exist."""
        missing = [
            str(path)
            for target in targets
            for path in (*reversed(Path(target).parents), Path(target))
            if not path.exists()
        ]
        if missing:
            self._write([*self._made(), *missing])
        for target in targets:
            Path(target).mkdir(parents=True, exist_ok=True)

    def remove(self) -> None:
        """Remove the folders that `make` made and that are empty: programs wrote into the mounts over them."""
        for path in sorted(self._made(), reverse=True):
            try:
                Path(path).rmdir()
            except OSError:
                continue
        self.record.unlink(missing_ok=True)

    def hand_over(self, heir: CoverPoints) -> None:
        """Hand the record to another cluster that still mounts over the folders: removing one would undo its mount."""
        heir._write([*heir._made(), *self._made()])
        self.record.unlink(missing_ok=True)

    def _write(self, made: Sequence[str]) -> None:
        draft = self.record.with_suffix(".draft")
        draft.write_text(json.dumps(list(dict.fromkeys(made))))
        draft.rename(self.record)

    def _made(self) -> list[str]:
        return [str(path) for path in json.loads(self.record.read_text())] if self.record.exists() else []


def on_overlay(folder: Path) -> bool:
    """Whether the folder is on an overlay, as in most containers: it cannot be the upper layer of another overlay."""
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, file_system, *_ = line.split()
        if (str(folder) + "/").startswith(target.rstrip("/") + "/") and len(target) >= len(best):
            best, kind = target, file_system
    return kind == "overlay"
