"""Builds images without a Docker engine, as root: buildah in chroots, on a base that debootstrap makes.

It runs in a mount namespace of its own, so that a build that is killed leaves no mount behind.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.commands import run
from hack.cluster.errors import CommandError
from hack.cluster.files import CoverPoints, on_overlay
from hack.cluster.progress import step

SUITE = "bookworm"
BASE = f"localhost/ttsfleet-base:{SUITE}"
BASE_SECONDS = 120
"""Seconds that making the base image takes."""
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "cert")
"""Settings of this machine's pip that say how to reach an index."""


HOST_FOLDER = "/var/lib/containers"
"""Folder of a cache that buildah keeps outside the storage that it is given."""
COVER = 'mkdir -p "$1" && mount --bind "$1" "$2" && shift 2 && exec "$@"'


@dataclass(frozen=True)
class Buildah:
    """Runs buildah with storage in `folder`, one run at a time."""

    folder: Path

    def build(self, dockerfile: Path, context: Path, reference: str, *, base: str) -> None:
        """Build into the storage, layer by layer: a change of code repeats the last layers only."""
        self._remove_leftovers()
        self.execute(
            *("bud", "--isolation", "chroot", "--layers", "--quiet", "--build-arg", f"BASE={base}"),
            *self._build_only_mounts(),
            *("--file", str(dockerfile), "--tag", reference, str(context)),
        )

    def export(self, reference: str, target: Path) -> None:
        """Write an image as a docker-archive."""
        self.execute("push", "--quiet", reference, f"docker-archive:{target}:{reference}")

    def push(self, reference: str, archive: Path, target: str) -> None:
        """Push an image to a registry, from its docker-archive if the storage no longer holds it."""
        if not self._succeeds("inspect", "--type=image", reference):
            self.execute("pull", "--quiet", f"docker-archive:{archive}")
        self.execute("push", "--quiet", reference, f"docker://{target}")

    def keep_only(self, repository: str, tags: Collection[str]) -> None:
        """Remove the other images of a repository, and the layers that only they have.

        By force: a container that was killed while it was made is not in buildah's list, and holds its image.
        """
        for reference in self.execute("images", "--noheading", "--format", "{{.Name}}:{{.Tag}}").split():
            name, _, tag = reference.rpartition(":")
            if name == repository and tag not in tags:
                self.execute("rmi", "--force", reference)
        self.execute("rmi", "--prune", "--force")

    def ensure_base(self) -> None:
        """Make a minimal Debian with Python, from Debian's packages alone."""
        if self._succeeds("inspect", "--type=image", BASE):
            return
        root = self.folder / "base"
        shutil.rmtree(root, ignore_errors=True)
        with step(f"making the base image: Debian {SUITE} with Python (debootstrap)", BASE_SECONDS):
            include = "--include=python3,python3-venv,ca-certificates"
            root.mkdir(parents=True)
            _isolated("debootstrap", "--variant=minbase", include, SUITE, str(root))
            for leftover in ("var/cache/apt/archives", "var/lib/apt/lists", "dev"):
                shutil.rmtree(root / leftover)
            for unused in ("man", "locale", "info"):
                shutil.rmtree(root / "usr/share" / unused)
            for log in (root / "var/log").rglob("*.log"):
                log.unlink()
            # Builds mount this machine's file over it; a mount over no file would leave an empty one in the image.
            (root / "etc/pip.conf").touch()
            container = self.execute("from", "scratch").strip()
            self.execute("add", "--quiet", container, str(root), "/")
            self.execute("commit", "--quiet", "--rm", container, BASE)
        shutil.rmtree(root)

    def execute(self, *arguments: str) -> str:
        """Run one command of buildah; returns its output. Raises `CommandError`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        driver = "vfs" if on_overlay(self.folder) else "overlay"
        self._cover_points.make([HOST_FOLDER])
        cover = ("sh", "-c", COVER, "sh", f"{self.folder}/host", HOST_FOLDER)
        storage = ("--root", f"{self.folder}/storage", "--runroot", f"{self.folder}/run", "--storage-driver", driver)
        try:
            return _isolated(*cover, "buildah", *storage, *arguments)
        finally:
            self.clean()

    def clean(self) -> None:
        """Remove what a killed run left outside the storage."""
        self._cover_points.remove()

    def _remove_leftovers(self) -> None:
        """Remove the working containers of killed builds. They take room, and their images cannot be removed."""
        self.execute("rm", "--all")

    @property
    def _cover_points(self) -> CoverPoints:
        return CoverPoints(self.folder / "made-folders.json")

    def _build_only_mounts(self) -> list[str]:
        """Mounts of this machine's certificates and pip settings for the build; the image does not contain them."""
        settings = _pip_settings()
        bundle = Path(settings.get("cert") or os.environ.get("SSL_CERT_FILE") or CERTIFICATES)
        mounts = [f"{self.folder / 'pip.conf'}:/etc/pip.conf:ro"]
        if bundle.exists():
            settings["cert"] = CERTIFICATES
            mounts.append(f"{bundle}:{CERTIFICATES}:ro")
        configuration = configparser.RawConfigParser()
        configuration["global"] = settings
        with (self.folder / "pip.conf").open("w") as file:
            configuration.write(file)
        return [word for mount in mounts for word in ("--volume", mount)]

    def _succeeds(self, *arguments: str) -> bool:
        try:
            self.execute(*arguments)
        except CommandError:
            return False
        return True


def _isolated(*command: str) -> str:
    return run(["nice", "unshare", "--mount", "--propagation", "private", "--", *command])


def _pip_settings() -> dict[str, str]:
    """Setting -> value, from pip's files and environment; the environment wins, as in pip."""
    lines = run([sys.executable, "-m", "pip", "config", "list"]).splitlines()
    pairs = [match.groups() for line in lines if (match := re.fullmatch(r"([^=]+)\.([\w-]+)='(.*)'", line))]
    ordered = sorted(pairs, key=lambda pair: pair[0].startswith(":env:"))
    return {name: value for _, name, value in ordered if name in PIP_SETTINGS}
