"""Installs the Debian packages that the local node and image builds need."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from hack.cluster.commands import run
from hack.cluster.errors import CannotRunError
from hack.cluster.progress import step

NODE: Mapping[str, str] = {
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
"""Program, or path of a file -> the package that contains it."""
IMAGES: Mapping[str, str] = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}


_one_at_a_time = threading.Lock()


def check(wanted: Mapping[str, str]) -> None:
    """Raises CannotRunError if something is missing and there is no apt to install it."""
    if (missing := _missing(wanted)) and shutil.which("apt-get") is None:
        raise CannotRunError(f"these are missing, and there is no apt-get to install them: {', '.join(missing)}")


def ensure(wanted: Mapping[str, str]) -> None:
    """Install what is missing. Raises CannotRunError if there is no apt."""
    check(wanted)
    if not _missing(wanted):
        return
    with _one_at_a_time:
        _install(_missing(wanted))


def _missing(wanted: Mapping[str, str]) -> list[str]:
    return sorted({package for program, package in wanted.items() if not _present(program)})


def _install(missing: list[str]) -> None:
    if not missing:
        return  # another thread installed it meanwhile
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing packages: {' '.join(missing)}", 20):
        run(["apt-get", "update", "-qq"], environment=quiet)
        run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing], environment=quiet)


def _present(program: str) -> bool:
    if program.startswith("/"):
        return Path(program).exists()
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # a user's PATH may lack them
    return shutil.which(program, path=path) is not None
