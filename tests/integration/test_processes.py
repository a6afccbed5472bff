"""Background processes are found by their mark, whoever started them, and only those of the same folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hack.cluster.errors import CommandError
from hack.cluster.processes import Processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])",
]


def test_starting_twice_runs_once(tmp_path: Path) -> None:
    processes = Processes(tmp_path, die_with_parent=True)
    processes.start("sleeper", SLEEP)
    first = processes.running()
    processes.start("sleeper", SLEEP)
    assert processes.running() == first
    processes.stop()
    assert processes.running() == {}


def test_a_child_that_outlives_its_parent_is_found(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("parent", PARENT)
    processes.stop()
    assert processes.running() == {}


def test_one_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    processes = Processes(tmp_path, die_with_parent=True)
    processes.start("deaf", DEAF)
    processes.wait("deaf", lambda: "deaf" in processes.log_tail("deaf"), 60)
    processes.stop(patience_seconds=0.2)
    assert processes.running() == {}


def test_another_folders_processes_are_left_alone(tmp_path: Path) -> None:
    ours, theirs = (Processes(tmp_path / name, die_with_parent=True) for name in ("ours", "theirs"))
    for processes in (ours, theirs):
        processes.folder.mkdir()
        processes.start("sleeper", SLEEP)
    ours.stop()
    assert list(theirs.running()) == ["sleeper"]
    theirs.stop()


def test_waiting_for_one_that_ended_tells_its_last_words(tmp_path: Path) -> None:
    processes = Processes(tmp_path, die_with_parent=True)
    processes.start("brief", [sys.executable, "-c", "raise SystemExit('no such port')"])
    with pytest.raises(CommandError, match="no such port"):
        processes.wait("brief", lambda: False, 60)
