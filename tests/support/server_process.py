"""A real `tts-server` process, for tests of what only a process has: a port, signals, logs, an exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.timeouts import HANG_SECONDS

START_SECONDS = 60.0
PROGRAM = Path(sys.executable).with_name("tts-server")


@dataclass
class Running:
    """A server that is ready."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int
    metrics_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=HANG_SECONDS).text

    def lines(self) -> list[dict[str, Any]]:
        """The log so far: every line of it must be JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def end(self, number: signal.Signals = signal.SIGTERM, within_seconds: float = 30) -> int:
        """The exit code."""
        self.process.send_signal(number)
        return self.process.wait(within_seconds)


def espeak_alone(folder: Path, **changes: object) -> str:
    """Write a configuration with eSpeak NG as its only engine, under the names of OpenAI, and return its flag.

    A server without a configuration also loads the neural voice, which takes as long as the rest of its start.
    """
    espeak = {"name": "espeak", "firstAudioTimeoutSeconds": HANG_SECONDS}
    names = {"modelAliases": {"tts-1": "espeak"}, "voiceAliases": {"alloy": "en-us"}}
    rest = {"drainSeconds": 10, "maxWaitSeconds": HANG_SECONDS, "storage": {"directory": str(folder / "audio")}}
    file = folder / "server.json"
    file.write_text(json.dumps({"models": [espeak]} | names | rest | changes))
    return f"--config={file}"


@contextmanager
def running(folder: Path, *arguments: str, limits: tuple[int, int] | None = None) -> Iterator[Running]:
    """`tts-server` with these arguments, on free ports; what it says goes to `folder`.

    `limits`: its soft and its hard limit of open files.
    """
    log, errors = folder / "log", folder / "errors"
    command = [] if limits is None else ["prlimit", f"--nofile={limits[0]}:{limits[1]}"]
    command += [str(PROGRAM), "--port=0", "--metrics-port=0", *arguments]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    with log.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
    try:
        ports = _ready(process, log, errors)
        yield Running(process, log, ports["port"], ports["metrics_port"])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _ready(process: subprocess.Popen[bytes], log: Path, errors: Path) -> dict[str, int]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        said = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        events = {line["event"]: line for line in said}
        if "ready" in events:
            listening = events["listening"]
            return {name: int(listening[name]) for name in ("port", "metrics_port")}
        time.sleep(0.02)
    raise AssertionError(f"tts-server is not ready: {log.read_text()}{errors.read_text()}")
