"""Debian packages that the local node and the image builds use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from hack.cluster.commands import run
from hack.cluster.errors import CannotRun
from hack.cluster.progress import step

NODE: Mapping[str, str] = {
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
"""A program, or a file's path, and the package that brings it."""
IMAGES: Mapping[str, str] = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}


def ensure(wanted: Mapping[str, str]) -> None:
    """Install what is missing. Raises CannotRun where there is no apt."""
    missing = sorted({package for program, package in wanted.items() if not _present(program)})
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise CannotRun(f"these are missing, and there is no apt-get to install them: {', '.join(missing)}")
    # Services must not start at install: Debian's policy-rc.d says so where it is set, and none of these has one.
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing packages: {' '.join(missing)}", 20):
        run(["apt-get", "update", "-qq"], environment=quiet)
        run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing], environment=quiet)


def _present(program: str) -> bool:
    if program.startswith("/"):
        return Path(program).exists()
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # where a user's PATH may end too early
    return shutil.which(program, path=path) is not None
