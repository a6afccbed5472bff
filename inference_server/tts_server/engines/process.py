"""One engine process, from the parent's side: start it, have it speak, stop it, kill it."""

import asyncio
import json
import os
import re
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from tts_server.engines.frames import FULL_SCALE, BrokenFrame, Kind, frame, json_frame, take_frames
from tts_server.engines.speaker import Samples, Utterance, Voices
from tts_server.errors import EngineCrashed, EngineError, EngineGarbage, EngineTimeout, EngineUnavailable

log = structlog.get_logger(__name__)

CANCEL_SECONDS = 2.0
"""What an engine has to stop after CANCEL before it is killed."""
READ_BYTES = 262_144
"""What the pipe holds (`worker.py` sets it), and so the largest part that `speak` yields."""
_KINDS: Mapping[str, type[EngineError]] = {"unavailable": EngineUnavailable, "garbage": EngineGarbage}
"""Of an ERROR frame."""
_UNIT = np.float32(1 / FULL_SCALE)
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# What an engine prints may quote what it was asked to say. Python's stack frames and its fault handler's do not.
_WITHOUT_TEXT = re.compile(r'Fatal Python error: [A-Z]|Traceback |\s*File ".*", line \d+|(Current thread|Thread) 0x')


class EngineProcess:
    """`python -m tts_server.engines.worker <engine>` and the pipe to it. One utterance at a time."""

    def __init__(self, engine: str, threads: int) -> None:
        self.sample_rate_hz = 0
        self.voices: Voices = {}
        self._engine = engine
        self._threads = threads
        self._process: asyncio.subprocess.Process | None = None
        self._group: int | None = None
        """Whom to kill; None once that is done."""
        self._stderr: asyncio.Task[None] | None = None
        self._received = bytearray()
        self._frames: deque[tuple[Kind, bytes]] = deque()
        self._spoke = False
        self._reading = asyncio.Lock()
        self._pending = False
        """Whether a DONE or an ERROR is still to come."""

    @property
    def pid(self) -> int | None:
        """None before the start."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """False once it has ended, also while the event loop has not heard of it."""
        process = self._process
        return process is not None and process.returncode is None and not _has_ended(process.pid)

    async def start(self, timeout_seconds: float) -> None:
        """Load and warm up. Raises `EngineError`, and leaves no process then."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._spawn()
                kind, payload = await self._receive()
        except TimeoutError:
            await self.kill()
            raise EngineTimeout(f"Engine {self._engine} did not load in {timeout_seconds:g} s.") from None
        except BaseException:
            await self.kill()
            raise
        if kind is not Kind.READY:
            await self.kill()
            raise _error(kind, payload)
        said = json.loads(payload)
        self.sample_rate_hz = int(said["sample_rate_hz"])
        self.voices = {name: tuple(languages) for name, languages in said["voices"].items()}

    async def speak(self, utterance: Utterance, timeout_seconds: float) -> AsyncGenerator[Samples]:
        """Yield the sound. The timeout is on every wait: for the first part, then from part to part.

        After an early end (`aclose`, a timeout) the process is not free: call `settle`.
        """
        self._spoke = self._pending = True
        await self._send(json_frame(Kind.SPEAK, _as_dict(utterance)))
        while True:
            if self._frames:
                kind, payload = self._frames.popleft()
            else:
                try:
                    async with asyncio.timeout(timeout_seconds):
                        kind, payload = await self._receive()
                except TimeoutError:
                    raise EngineTimeout(f"Engine {self._engine} gave no audio for {timeout_seconds:g} s.") from None
            if kind is Kind.AUDIO:
                yield self._samples(payload + self._more_audio())
                continue
            self._pending = False
            if kind is Kind.DONE:
                return
            raise _error(kind, payload)

    async def settle(self) -> bool:
        """Make it free again after an utterance, however that ended: False where it had to be killed, or is dead."""
        if not self._pending:
            return self.alive
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._send(frame(Kind.CANCEL))
                while (await self._receive())[0] is Kind.AUDIO:
                    pass
        except (EngineError, TimeoutError):
            await self.kill()
            return False
        self._pending = False
        return True

    def resident_bytes(self) -> int:
        """Its memory now; 0 where the system does not tell."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * PAGE_BYTES

    async def stop(self) -> None:
        """End it: it has two seconds from the end of its stdin, then it is killed."""
        process = self._process
        if process is not None and process.stdin is not None and process.returncode is None:
            process.stdin.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), CANCEL_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """End it now, with whatever it has started, and wait until it is gone. Safe to call twice."""
        process = self._process
        if process is None:
            return
        if self._group is not None:
            # Its own session: the group is the engine and its children, never this process. Once only: later the
            # number may be another's.
            with suppress(ProcessLookupError):
                os.killpg(self._group, signal.SIGKILL)
            self._group = None
        # asyncio's `wait` waits for the pipes too, and one that is full is not read: nobody is told of its end then.
        if process.stdout is not None and not self._reading.locked():
            async with self._reading:
                while await process.stdout.read(READ_BYTES):
                    pass
        await process.wait()
        if self._stderr is not None:
            self._stderr.cancel()
            await asyncio.wait([self._stderr])

    async def _spawn(self) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        # Engines send no traces: the collector, and a credential for it, are none of their business.
        environment = {name: value for name, value in environment.items() if not name.startswith("OTEL_")}
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = str(self._threads)
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "tts_server.engines.worker", self._engine,
            stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True, limit=READ_BYTES,
        )  # fmt: skip
        self._group = self._process.pid
        assert self._process.stderr is not None  # noqa: S101 - asked for two lines above
        self._stderr = asyncio.create_task(self._log(self._process.stderr))

    async def _send(self, data: bytes) -> None:
        process = self._process
        if process is None or process.stdin is None or process.stdin.is_closing():
            raise EngineCrashed(f"Engine {self._engine} is not running.")
        try:
            process.stdin.write(data)
            await process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise await self._crashed() from error

    async def _receive(self) -> tuple[Kind, bytes]:
        """One frame. A cancelled call loses nothing: the next one goes on where it was."""
        assert self._process is not None  # noqa: S101 - only called while it runs
        assert self._process.stdout is not None  # noqa: S101
        while not self._frames:
            async with self._reading:
                data = await self._process.stdout.read(READ_BYTES)
            if not data:
                raise await self._crashed()
            self._received += data
            try:
                self._frames.extend(take_frames(self._received))
            except BrokenFrame as error:
                await self.kill()
                raise EngineCrashed(f"Engine {self._engine} broke its protocol: {error}.") from error
        return self._frames.popleft()

    def _more_audio(self) -> bytes:
        """Audio that has come already: one large part costs less on its way than many small ones."""
        parts = []
        while self._frames and self._frames[0][0] is Kind.AUDIO:
            parts.append(self._frames.popleft()[1])
        return b"".join(parts)

    async def _crashed(self) -> EngineCrashed:
        await self.kill()
        assert self._process is not None  # noqa: S101 - it has crashed
        return EngineCrashed(f"Engine {self._engine} ended with {_ending(self._process.returncode)}.")

    def _samples(self, payload: bytes) -> Samples:
        if not payload or len(payload) % 2:
            raise EngineGarbage(f"Engine {self._engine} yielded samples that are not numbers.")
        return np.frombuffer(payload, "<i2").astype(np.float32) * _UNIT

    async def _log(self, stderr: asyncio.StreamReader) -> None:
        while line := await _line(stderr):
            if self._spoke and not _WITHOUT_TEXT.match(line):
                line = f"({len(line)} characters)"
            log.warning("engine wrote to stderr", engine=self._engine, pid=self.pid, line=line)


def _as_dict(utterance: Utterance) -> dict[str, object]:
    """Not dataclasses.asdict: that copies every value, for a tenth of a millisecond."""
    return {name: getattr(utterance, name) for name in utterance.__slots__}


def _error(kind: Kind, payload: bytes) -> EngineError:
    if kind is not Kind.ERROR:
        return EngineCrashed(f"The engine sent {kind.name} where it may not.")
    said: Mapping[str, Any] = json.loads(payload)
    return _KINDS.get(said["kind"], EngineError)(str(said["message"]))


async def _line(stream: asyncio.StreamReader) -> str:
    """A line with its end taken off; one that is too long is dropped for a note. Empty at the end of the stream."""
    try:
        raw = await stream.readline()
    except ValueError:
        return "(a very long line)"
    return raw.decode("utf-8", "replace").rstrip()[:500] or ("(empty)" if raw else "")


def _has_ended(pid: int) -> bool:
    if not hasattr(os, "waitid"):  # macOS: the event loop tells a moment later
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _ending(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        with suppress(ValueError):
            return signal.Signals(-returncode).name
    return f"exit code {returncode}"
