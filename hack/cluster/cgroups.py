"""Makes, empties and removes the control groups of a local node's containers, on cgroup v1 and v2.

In v2 a group has either processes or controllers for its children; only the machine's root group may have both. In a
container the apparent root is an ordinary group and holds the container's processes: they are moved into a group of
their own, and back when the last node is removed.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from hack.cluster.errors import ClusterError

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
PREFIX = "ttsfleet-"
ASIDE = "aside-of-ttsfleet"


def name_for(folder: Path) -> str:
    """Group of the cluster in `folder`. Its name is derived from the folder, so that no record of it is needed."""
    return f"{PREFIX}{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def create(name: str) -> None:
    """Make the group for kubelet's `cgroupRoot`, which must exist when kubelet starts."""
    if (ROOT / "cgroup.controllers").exists():
        offered = (ROOT / "cgroup.controllers").read_text().split()
        wanted = [controller for controller in CONTROLLERS if controller in offered]
        if (ROOT / "cgroup.type").exists():  # the machine's root group has no such file
            (ROOT / ASIDE).mkdir(exist_ok=True)
            _move(ROOT, ROOT / ASIDE)
        for group in (ROOT, ROOT / name):
            group.mkdir(exist_ok=True)
            (group / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in wanted))
        return
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        if (group / "cpuset.cpus").exists():  # v1: a cpuset starts empty, and a process may not enter an empty one
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((hierarchy / file).read_text())


def remove(name: str, patience_seconds: float = 20.0) -> None:
    """End every process in the group, then remove it from every hierarchy."""
    deadline = time.monotonic() + patience_seconds
    groups = [hierarchy / name for hierarchy in _hierarchies()]
    while any(group.exists() for group in groups):
        for pid in {pid for group in groups for pid in _members(group)}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for group in groups:
            _remove_tree(group)
        if time.monotonic() > deadline:
            raise ClusterError(f"the control group {name} cannot be removed: processes {sorted(_members(groups[0]))}")
        time.sleep(0.1)
    if (ROOT / ASIDE).exists() and not any(ROOT.glob(f"{PREFIX}*")):
        given = (ROOT / "cgroup.subtree_control").read_text().split()
        (ROOT / "cgroup.subtree_control").write_text(" ".join(f"-{controller}" for controller in given))
        _move(ROOT / ASIDE, ROOT)
        (ROOT / ASIDE).rmdir()


def _move(source: Path, target: Path, patience_seconds: float = 10.0) -> None:
    """Move every process, also those that are forked meanwhile. Raises ClusterError if some cannot be moved."""
    deadline = time.monotonic() + patience_seconds
    while pids := (source / "cgroup.procs").read_text().split():
        if time.monotonic() > deadline:
            raise ClusterError(f"processes {', '.join(pids)} cannot leave the control group {source}")
        for pid in pids:
            with suppress(ProcessLookupError):  # ended meanwhile
                (target / "cgroup.procs").write_text(pid)


def _hierarchies() -> list[Path]:
    """Roots: the one tree of v2, or a folder per controller of v1, without links such as `cpu -> cpu,cpuacct`."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink()] if ROOT.exists() else []


def _members(group: Path) -> set[int]:
    pids: set[int] = set()
    for file in group.rglob("cgroup.procs"):
        try:
            pids.update(int(line) for line in file.read_text().split())
        except OSError:
            continue  # the group was removed meanwhile
    return pids


def _remove_tree(group: Path) -> None:
    """Remove groups, deepest first; one that still has a dying process stays for the next call."""
    if not group.exists():
        return
    folders = [folder for folder, _, _ in os.walk(group, topdown=False)]
    for folder in folders:
        try:
            Path(folder).rmdir()
        except OSError:
            continue
