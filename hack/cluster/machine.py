"""What a machine has that a cluster needs: a Docker engine, or a root who may do what a node needs."""

from __future__ import annotations

import os
import platform
import shutil
from functools import cached_property
from pathlib import Path
from typing import Protocol

from hack.cluster.commands import run, succeeds
from hack.cluster.errors import CommandError

ALL_USERS = ["0", "0", "4294967295"]
"""The map of a user namespace that is the machine's own: user_namespaces(7)."""


class Machine(Protocol):
    """Each is asked only where it matters."""

    @property
    def system(self) -> str:
        """As `uname` calls it."""

    @property
    def no_docker(self) -> str:
        """Why no Docker engine can be used, in words; empty where one can."""

    @property
    def no_root(self) -> str:
        """Why this user may not do as root does, in words; empty where they may."""

    @property
    def no_namespaces(self) -> str:
        """Why this root cannot hold a node, in words; empty where they can."""


class ThisMachine:
    """The one that this runs on."""

    @cached_property
    def system(self) -> str:
        """See `Machine`."""
        return platform.system()

    @cached_property
    def no_docker(self) -> str:
        """See `Machine`."""
        if shutil.which("docker") is None:
            return "no Docker engine answers"
        try:
            run(["docker", "info"], timeout_seconds=30)
        except CommandError as error:
            return f"no Docker engine answers ({last_words(error)})"
        return ""

    @cached_property
    def no_root(self) -> str:
        """See `Machine`."""
        return "" if os.geteuid() == 0 else "you are not root"

    @cached_property
    def no_namespaces(self) -> str:
        """See `Machine`."""
        if Path("/proc/self/uid_map").read_text().split() != ALL_USERS:
            return "this root is one of a user namespace, as in a rootless container, not the machine's"
        if shutil.which("unshare") is None:
            return "there is no `unshare` (Debian: apt install util-linux)"
        if not succeeds(["unshare", "--mount", "--net", "true"]):
            return "this root may not make namespaces, as in a container that is not privileged"
        return ""


def last_words(error: CommandError) -> str:
    """The last line that a program said."""
    return str(error).strip().splitlines()[-1].strip()
