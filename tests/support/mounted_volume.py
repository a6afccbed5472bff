"""Volumes as the kubelet mounts them."""

from pathlib import Path


class MountedVolume:
    """A volume as the kubelet mounts a ConfigMap: files are links into `..data`, which is swapped in one rename."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._revision = 0
        directory.mkdir()

    def write(self, **files: str) -> None:
        self._revision += 1
        revision = self.directory / f"..2026_{self._revision}"
        revision.mkdir()
        for name, content in files.items():
            (revision / name).write_text(content)
        fresh = self.directory / "..data_tmp"
        fresh.symlink_to(revision.name)
        fresh.rename(self.directory / "..data")
        for link in self.directory.iterdir():
            if not link.name.startswith("..") and link.name not in files:
                link.unlink()
        for name in files:
            link = self.directory / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)

    def __truediv__(self, name: str) -> Path:
        return self.directory / name
