"""A kubectl that goes on running: started, awaited until it says that it is ready, and ended."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tts_operator.fleet.kubectl import KubectlError

START_SECONDS = 20.0
END_SECONDS = 5.0


@contextmanager
def running(command: list[str], ready: str) -> Iterator[str]:
    """Run a command while the block lasts, from the line that contains `ready`, which is given. Raises KubectlError."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield _first_line(process, ready, command[1])
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _first_line(process: subprocess.Popen[bytes], ready: str, what: str) -> str:
    """Read until the line is complete. Raises KubectlError with what kubectl said if it ends before."""
    assert process.stdout is not None  # noqa: S101 - a pipe
    assert process.stderr is not None  # noqa: S101 - a pipe
    out, deadline = process.stdout.fileno(), time.monotonic() + START_SECONDS
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(out, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            part = os.read(out, 4096)
            if not part:
                errors = process.stderr.read().decode(errors="replace").strip()
                raise KubectlError(f"kubectl {what}: {errors or 'ended without a word'}")
            said += part
            for line in said.decode(errors="replace").splitlines(keepends=True):
                if line.endswith("\n") and ready in line:
                    return line.strip()
    raise KubectlError(f"kubectl {what} was not ready within {START_SECONDS:.0f} seconds")
