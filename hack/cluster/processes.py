"""Starts, finds and ends the background processes of one cluster by a mark in their environment.

Every process has its cluster's folder and its own name in its environment, and its children inherit both. No record
besides the kernel's is needed: a process that was started just before a crash is found, a reused process ID is not, and
no process of another cluster or of the machine is ever ended.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.commands import run
from hack.cluster.errors import ClusterError, CommandError

FOLDER_MARK = "TTSFLEET_CLUSTER_FOLDER"
NAME_MARK = "TTSFLEET_CLUSTER_PROCESS"
LOG_TAIL_LINES = 15
PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.05
LOOK_AGAIN_SECONDS = 0.01
LINUX = platform.system() == "Linux"


@dataclass(frozen=True)
class Processes:
    """Processes of the cluster in `folder`."""

    folder: Path
    die_with_parent: bool = False
    """Whether the kernel ends them when this program dies, for test runs. Only on Linux."""
    within: tuple[str, ...] = ()
    """Command prefix that enters namespaces and then executes the program."""

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Start a program in the background, unless it runs. Its output goes to logs/NAME.log."""
        if name in self.running():
            return
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{name}.log").open("ab") as log:
            subprocess.Popen(
                [*self.within, *(str(word) for word in command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **(environment or {}), FOLDER_MARK: str(self.folder), NAME_MARK: name},
                start_new_session=True,
                # Safe with threads, which PLW1509 warns of: the function makes one system call.
                preexec_fn=_end_with_parent if self.die_with_parent and LINUX else None,  # noqa: PLW1509
            )

    def running(self) -> dict[str, list[int]]:
        """Name -> process IDs, including those of child processes."""
        seen = self._seen()
        time.sleep(LOOK_AGAIN_SECONDS)  # during an exec, a process has no environment for a moment
        for name, pids in self._seen().items():
            seen[name] = sorted({*seen.get(name, []), *pids})
        alive = {name: [pid for pid in pids if _alive(pid)] for name, pids in seen.items()}
        return {name: pids for name, pids in alive.items() if pids}

    def _seen(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        mark = str(self.folder)
        for pid, environment in _environments():
            if environment.get(FOLDER_MARK) == mark:
                found.setdefault(environment.get(NAME_MARK, "?"), []).append(pid)
        return found

    def stop(self, *names: str, patience_seconds: float = 10.0) -> None:
        """End the named processes, or all: SIGTERM first, SIGKILL after `patience_seconds`."""
        for number, patience in ((signal.SIGTERM, patience_seconds), (signal.SIGKILL, 10.0)):
            deadline = time.monotonic() + patience
            asked: set[int] = set()
            while pids := [pid for name, ids in self.running().items() if not names or name in names for pid in ids]:
                for pid in set(pids) - asked:
                    _signal(pid, number)
                    asked.add(pid)
                if time.monotonic() > deadline:
                    break
                time.sleep(POLL_SECONDS)
            else:
                return
        raise ClusterError(f"processes of {self.folder} survive SIGKILL: {self.running()}")

    def wait(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Poll until `ready`. Raises CommandError, with the end of the log, if the process ends or time runs out."""
        deadline = time.monotonic() + seconds
        while not ready():
            if name not in self.running():
                raise CommandError(f"{name} ended:\n{self.log_tail(name)}")
            if time.monotonic() > deadline:
                raise CommandError(f"{name} is not ready after {seconds:.0f} s:\n{self.log_tail(name)}")
            time.sleep(POLL_SECONDS)

    def log_tail(self, name: str) -> str:
        """Last lines of a process's output."""
        path = self.folder / "logs" / f"{name}.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(lines[-LOG_TAIL_LINES:])


def folders_with(name: str) -> set[Path]:
    """Folders of all clusters on this machine that run a process of this name."""
    environments = (environment for _, environment in _environments())
    return {Path(found[FOLDER_MARK]) for found in environments if FOLDER_MARK in found and found.get(NAME_MARK) == name}


def _end_with_parent() -> None:
    """Ask the kernel, between fork and exec, for SIGKILL when the parent dies: prctl(2)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
        os.waitpid(pid, os.WNOHANG)  # a child of this process would stay a zombie
    except (ProcessLookupError, ChildProcessError):
        pass  # already gone, or a child of an earlier run, which init reaps


def _alive(pid: int) -> bool:
    """Whether a process runs; a zombie that waits for its parent does not."""
    if LINUX:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False
    return True


def _environments() -> list[tuple[int, dict[str, str]]]:
    """Environment of every process whose environment this user may read; zombies have none."""
    if not LINUX:
        return _environments_by_ps()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            raw = (entry / "environ").read_bytes()
        except OSError:
            continue  # the process ended meanwhile, or belongs to another user
        if FOLDER_MARK.encode() in raw:
            words = (word.partition("=") for word in raw.decode(errors="replace").split("\0"))
            found.append((int(entry.name), {key: value for key, _, value in words}))
    return found


def _environments_by_ps() -> list[tuple[int, dict[str, str]]]:
    """Environments from ps, which macOS needs: it has no /proc. Folders with spaces are not found."""
    found = []
    for line in run(["ps", "-axwwE", "-o", "pid=,command="]).splitlines():
        if FOLDER_MARK in line:
            pid, *words = line.split()
            found.append((int(pid), {key: value for key, mark, value in (w.partition("=") for w in words) if mark}))
    return found
