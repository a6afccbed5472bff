"""Checks a machine for what a cluster needs: a Docker engine, or root with the rights that a node needs."""

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
"""User ID map of the machine's initial user namespace: user_namespaces(7)."""


class Machine(Protocol):
    """Facts about a machine. Each is looked up only if it matters."""

    @property
    def system(self) -> str:
        """Name of the operating system, as in `uname`."""

    @property
    def no_docker(self) -> str:
        """Reason why no Docker engine can be used; empty if one can."""

    @property
    def no_root(self) -> str:
        """Reason why this user may not act as root; empty if they may."""

    @property
    def no_namespaces(self) -> str:
        """Reason why this root cannot run a node; empty if it can."""


class ThisMachine:
    """Machine on which this program runs."""

    @cached_property
    def system(self) -> str:
        return platform.system()

    @cached_property
    def no_docker(self) -> str:
        if shutil.which("docker") is None:
            return "no Docker engine answers"
        try:
            run(["docker", "info"], timeout_seconds=30)
        except CommandError as error:
            return f"no Docker engine answers ({last_words(error)})"
        return ""

    @cached_property
    def no_root(self) -> str:
        return "" if os.geteuid() == 0 else "you are not root"

    @cached_property
    def no_namespaces(self) -> str:
        if Path("/proc/self/uid_map").read_text().split() != ALL_USERS:
            return "this root is one of a user namespace, as in a rootless container, not the machine's"
        if shutil.which("unshare") is None:
            return "there is no `unshare` (Debian: apt install util-linux)"
        if not succeeds(["unshare", "--mount", "--net", "true"]):
            return "this root may not make namespaces, as in a container that is not privileged"
        return ""


def last_words(error: CommandError) -> str:
    """Last line of a program's output."""
    return str(error).strip().splitlines()[-1].strip()
