"""Runs a real `tts-server` on chosen cores, and callers with persistent connections."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_server.config.defaults import KOKORO_FILES, embedded_config, is_installed

SENTENCE = "The quick brown fox jumps over the lazy dog today."
"""Sentence of ten words."""
START_SECONDS = 120.0
PROGRAM = (str(Path(sys.executable).with_name("tts-server")),)
"""Server of this checkout."""


@dataclass(frozen=True, slots=True)
class Running:
    """Running server that listens on `port`."""

    port: int
    pid: int

    def cpu_seconds(self) -> tuple[float, float]:
        """CPU seconds of the server so far, and of its engine processes."""
        return cpu_seconds_of(self.pid), sum(map(cpu_seconds_of, self._children()))

    def engines_on(self, core: int) -> None:
        """Bind the engine processes to these cores."""
        for child in self._children():
            os.sched_setaffinity(child, [core])

    def resident_bytes(self) -> tuple[int, int]:
        """Resident memory of the server, and of its engine processes, bytes."""
        return _resident_bytes(self.pid), sum(map(_resident_bytes, self._children()))

    def _children(self) -> list[int]:
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [int(child) for child in text.split()]


def is_measured(package: str) -> bool:
    """Whether a server that `running` starts finds the package: its cache is empty, and Kokoro is in none."""
    return package != KOKORO_FILES and is_installed(package)


@contextmanager
def running(
    cores: Collection[int],
    config: Mapping[str, Any] | None = None,
    quota: Mapping[str, Any] | None = None,
    *,
    program: Sequence[str] = PROGRAM,
) -> Iterator[Running]:
    """Start a server that, with its engine processes, may use only these cores.

    `config` and `quota` are merged into the configuration of a server that is started without files.
    """
    port, metrics_port = free_ports(2)
    command = [*program, f"--port={port}", f"--metrics-port={metrics_port}"]
    with tempfile.TemporaryDirectory(prefix="ttsfleet-bench-") as folder, (Path(folder) / "log").open("wb") as log:
        if config or quota:
            command += [f"--config={_config_file(Path(folder), config or {})}"]
            command += [f"--quota={_write(Path(folder) / 'quota.json', quota or {})}"]
        process = subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, cores)), *command],
            env={**os.environ, "XDG_CACHE_HOME": folder},
            stdout=log,
            stderr=log,
        )
        try:
            wait_ready(process, port)
            yield Running(port, process.pid)
        finally:
            process.terminate()
            process.wait()


class Caller:
    """Caller with one persistent connection."""

    def __init__(self, port: int, text: str, response_format: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._connection.connect()
        # Otherwise the kernel delays a small segment until the last one is acknowledged: tcp(7).
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = {"model": "tts-1", "voice": "alloy", "input": text, "response_format": response_format}
        self._body = json.dumps(body)

    def ask(self) -> tuple[float, float]:
        """Request speech. Returns the seconds to the first and the last byte; raises RuntimeError if it fails."""
        started = time.perf_counter()
        self._connection.request("POST", "/v1/audio/speech", self._body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        response.read(1)
        first = time.perf_counter() - started
        rest = response.read()
        if response.status != 200 or not rest:
            raise RuntimeError(f"the server answered {response.status}: {rest[:200]!r}")
        return first, time.perf_counter() - started


def _config_file(folder: Path, config: Mapping[str, Any]) -> Path:
    # Without pages: a server of an earlier commit refuses fields that it does not know.
    laptop = embedded_config(is_measured).model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude={"playground", "docs"}
    )
    return _write(folder / "server.json", {**laptop, "storage": {"directory": f"{folder}/audio"}, **config})


def _write(path: Path, content: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds_of(pid: int) -> float:
    """CPU time of all threads of a process, seconds; /proc/<pid>/stat has it in steps of 10 ms only.

    The number of its clock is what clock_getcpuclockid(3) returns, which Python lacks.
    """
    return time.clock_gettime((~pid << 3) | 2)


def wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.perf_counter() + START_SECONDS
    while time.perf_counter() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"tts-server ended with {process.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    raise RuntimeError(f"tts-server is not ready after {START_SECONDS:.0f} s")


def wait_listening(process: subprocess.Popen[bytes], port: int) -> None:
    """Return once a server of another project, which has no `/readyz`, accepts connections."""
    deadline = time.perf_counter() + START_SECONDS
    while time.perf_counter() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the server does not listen after {START_SECONDS:.0f} s")


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(listener.getsockname()[1]) for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()
