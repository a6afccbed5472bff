"""What the cluster does to the machine's own file systems."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def cache_folder() -> Path:
    """Where builds are kept between checkouts: XDG_CACHE_HOME/ttsfleet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ttsfleet"


@dataclass(frozen=True)
class CoverPoints:
    """Folders of the machine that are covered, inside a mount namespace, by folders of ours.

    A folder must exist to be covered. Those that had to be made are written down before, and removed by `remove`.
    """

    record: Path

    def make(self, targets: Sequence[str]) -> None:
        """Have every target exist."""
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
        """Remove what `make` made, as far as it is empty: what was written lies in the covers."""
        for path in sorted(self._made(), reverse=True):
            try:
                Path(path).rmdir()
            except OSError:
                continue
        self.record.unlink(missing_ok=True)

    def hand_over(self, heir: CoverPoints) -> None:
        """Leave to another cluster what it still covers: to remove a folder would undo its mount too."""
        heir._write([*heir._made(), *self._made()])
        self.record.unlink(missing_ok=True)

    def _write(self, made: Sequence[str]) -> None:
        draft = self.record.with_suffix(".draft")
        draft.write_text(json.dumps(list(dict.fromkeys(made))))
        draft.rename(self.record)

    def _made(self) -> list[str]:
        return [str(path) for path in json.loads(self.record.read_text())] if self.record.exists() else []


def on_overlay(folder: Path) -> bool:
    """An overlay cannot be the upper layer of another: true inside most containers."""
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, file_system, *_ = line.split()
        if (str(folder) + "/").startswith(target.rstrip("/") + "/") and len(target) >= len(best):
            best, kind = target, file_system
    return kind == "overlay"
