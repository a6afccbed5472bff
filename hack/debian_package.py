"""Programs of Debian packages. They are unpacked into the cache: installed, they would start a service."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.binaries import locked
from hack.cluster.commands import run
from hack.cluster.errors import CannotRunError, CommandError
from hack.cluster.files import cache_folder
from hack.cluster.progress import step


@dataclass(frozen=True)
class DebianPackage:
    """A package, and the folder of its programs."""

    name: str
    title: str
    """Name of the software, as people write it."""
    folder: Path
    """Folder of the programs in the package, such as usr/bin."""
    programs: tuple[str, ...]
    fetch_seconds: float
    """Time that fetching it takes."""

    def program(self, name: str) -> Path:
        """Path of a program, which is fetched if it is missing. Raises `CannotRunError` if it cannot be fetched."""
        if found := shutil.which(name):
            return Path(found)
        cache = cache_folder() / self.programs[0]
        program = cache / self.folder / name
        if program.exists():
            return program
        if shutil.which("apt-get") is None:
            raise CannotRunError(f"{name} is missing: install {self.title}.")
        cache.mkdir(parents=True, exist_ok=True)
        with locked(cache / ".lock"):
            if not program.exists():
                self._fetch(cache / self.folder)
        return program

    def _fetch(self, target: Path) -> None:
        with (
            step(f"fetching {self.title}", self.fetch_seconds),
            tempfile.TemporaryDirectory(prefix=f"ttsfleet-{self.name}-") as folder,
        ):
            draft = Path(folder)
            if os.geteuid() == 0:
                draft.chmod(0o755)  # apt downloads as a user of its own
            try:
                self._download(draft)
            except CommandError:
                if os.geteuid() != 0:
                    raise CannotRunError(
                        f"{self.title} is missing, and apt does not know the package {self.name}: run `apt-get update`"
                        " as root."
                    ) from None
                run(["apt-get", "update", "-qq"])
                self._download(draft)
            [package] = draft.glob("*.deb")
            run(["dpkg-deb", "-x", package, draft / "unpacked"])
            target.mkdir(parents=True, exist_ok=True)
            for name in self.programs:
                fresh = target / f"{name}.draft"
                shutil.move(draft / "unpacked" / self.folder / name, fresh)
                fresh.rename(target / name)

    def _download(self, folder: Path) -> None:
        run(["apt-get", "download", "-qq", self.name], folder=folder)
