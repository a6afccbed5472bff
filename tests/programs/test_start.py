"""SIGTERM while the operator starts: a real process, which would ignore it as PID 1 without a handler."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "tts_operator.cli.start", "run", "--server-image=tts:1"]
ENDED_SECONDS = 1.0
BUSY_SECONDS = 9.0
"""Allowance for a machine that does other things. A grace period is 30 s."""


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An operator that begins to start; its API server refuses connections."""
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "gone", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "gone", "context": {"cluster": "gone", "user": "nobody"}}
    users = [{"name": "nobody", "user": {}}]
    content = {"current-context": "gone", "clusters": [cluster], "users": users, "contexts": [context]}
    kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **content}))
    ports = ["--health-port=0", "--metrics-port=0"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*COMMAND, *ports], env={**os.environ, "KUBECONFIG": str(kubeconfig)}, stderr=log)
    yield process
    process.kill()
    process.wait()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def handles_sigterm(process: subprocess.Popen[bytes]) -> bool:
    """Read the mask of caught signals from the kernel."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def loaded(process: subprocess.Popen[bytes], library: str) -> bool:
    return library in Path(f"/proc/{process.pid}/maps").read_text()


def ends_at_once(process: subprocess.Popen[bytes]) -> None:
    asked = time.monotonic()
    process.terminate()
    assert process.wait(60) == 0
    assert time.monotonic() - asked < ENDED_SECONDS + BUSY_SECONDS


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_the_handler_is_there_before_the_imports(starting: subprocess.Popen[bytes]) -> None:
    eventually(lambda: handles_sigterm(starting))
    assert not loaded(starting, "pydantic_core")
    ends_at_once(starting)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_it_ends_in_the_middle_of_its_imports(starting: subprocess.Popen[bytes]) -> None:
    eventually(lambda: loaded(starting, "pydantic_core"))
    ends_at_once(starting)


def test_it_ends_while_it_waits_for_an_api_server(starting: subprocess.Popen[bytes], tmp_path: Path) -> None:
    eventually(lambda: b"API server unreachable" in (tmp_path / "log").read_bytes())
    ends_at_once(starting)
