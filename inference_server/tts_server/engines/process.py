"""One engine process, from the parent's side: start it, have it speak, stop it, kill it."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import structlog

from tts_server.engines.frames import BrokenFrame, Frame, Kind, cancellation, content_of, json_frame, member_of
from tts_server.engines.pipe import FramePipe, PipeEnded
from tts_server.engines.speaker import Samples, Utterance, Voices
from tts_server.engines.wire_errors import error_of
from tts_server.errors import EngineCrashed, EngineError, EngineGarbage, EngineTimeout
from tts_server.scheduling.batching import Measured

log = structlog.get_logger(__name__)

CANCEL_SECONDS = 2.0
"""What an engine has to stop after CANCEL before it is killed."""
MEMORY_BYTES = 128
"""Of statm: seven numbers, of which the second is pages."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# What an engine prints may quote what it was asked to say. Python's stack frames and its fault handler's do not.
_WITHOUT_TEXT = re.compile(r'Fatal Python error: [A-Z]|Traceback |\s*File ".*", line \d+|(Current thread|Thread) 0x')


class EngineProcess:
    """`python -m tts_server.engines.worker <engine>` and the pipes to it. One utterance at a time, or one batch.

    `batch_size`: what an engine that can batch is measured with; below 2 it is not.
    """

    def __init__(self, engine: str, threads: int, batch_size: int = 0) -> None:
        self.sample_rate_hz = 0
        self.voices: Voices = {}
        self._engine = engine
        self._threads = threads
        self._batch_size = batch_size
        self.measured: Measured | None = None
        self.voice_groups: Mapping[str, str] = {}
        """Of an engine that can batch, see `BatchingEngine`."""
        self._process: asyncio.subprocess.Process | None = None
        self._group: int | None = None
        """Whom to kill; None once that is done."""
        self._stderr: asyncio.Task[None] | None = None
        self._pipe: FramePipe | None = None
        self._cancellations = -1
        """File descriptor."""
        self._memory: int | None = None
        """File descriptor of /proc/<pid>/statm: it is read after each utterance, and opening costs most of that."""
        self._spoken = 0
        """Utterances that it was asked for."""
        self._numbers = range(0)
        """Of those that it was asked for last."""
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
                kind, payload = await self._receive(await self._spawn())
        except TimeoutError:
            await self.kill()
            raise EngineTimeout(f"Engine {self._engine} did not load in {timeout_seconds:g} s.") from None
        except BaseException:
            await self.kill()
            raise
        if kind is not Kind.READY:
            await self.kill()
            raise _error(kind, payload)
        said: Mapping[str, Any] = content_of(payload)
        self.sample_rate_hz = int(said["sample_rate_hz"])
        self.voices = {name: tuple(languages) for name, languages in said["voices"].items()}
        self.voice_groups = said.get("voice_groups", {})
        self.measured = Measured(**said["batch"]) if said.get("batch") else None

    async def speak(self, utterance: Utterance, timeout_seconds: float) -> AsyncGenerator[Samples]:
        """Yield the sound. The timeout is on every wait: for the first part, then from part to part.

        After an early end (`aclose`, a timeout) the process is not free: call `settle`.
        """
        pipe = await self._ask(json_frame(Kind.SPEAK, _as_dict(utterance)), 1)
        while True:
            kind, payload = await self._receive_in_time(pipe, timeout_seconds)
            if kind is Kind.AUDIO:
                yield self._samples(payload, pipe.more_audio())
                continue
            self._pending = False
            if kind is Kind.DONE:
                return
            raise _error(kind, payload)

    async def speak_batch(
        self, utterances: Sequence[Utterance], timeout_seconds: float
    ) -> AsyncGenerator[tuple[int, Samples | EngineError | None]]:
        """Yield what comes of each: its index with a part of its sound, its own failure, or None at its end.

        See `speak` for the timeout and for an early end.
        """
        wanted = {"utterances": [_as_dict(utterance) for utterance in utterances]}
        pipe = await self._ask(json_frame(Kind.BATCH, wanted), len(utterances))
        while True:
            kind, payload = await self._receive_in_time(pipe, timeout_seconds)
            if kind is Kind.MEMBER:
                yield await self._of_member(payload)
                continue
            self._pending = False
            if kind is Kind.DONE:
                return
            raise _error(kind, payload)

    def abandon(self, member: int) -> None:
        """Nobody listens to this utterance of the batch under way."""
        self._cancel(self._numbers[member])

    @property
    def at_rest(self) -> bool:
        """Whether the last utterance has ended: else it is not free before it is settled."""
        return not self._pending

    async def settle(self) -> bool:
        """Make it free again after an utterance, however that ended: False where it had to be killed, or is dead."""
        if not self._pending or self._pipe is None:
            return self.alive
        try:
            for number in self._numbers:
                self._cancel(number)
            async with asyncio.timeout(CANCEL_SECONDS):
                while (await self._receive(self._pipe))[0] in {Kind.AUDIO, Kind.MEMBER}:
                    pass
        except (EngineError, TimeoutError):
            await self.kill()
            return False
        self._pending = False
        return True

    def resident_bytes(self) -> int:
        """Its memory now; 0 where the system does not tell."""
        if self._memory is None:
            return 0
        try:
            pages = os.pread(self._memory, MEMORY_BYTES, 0).split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * PAGE_BYTES

    async def stop(self) -> None:
        """End it: it has two seconds from the end of its stdin, then it is killed."""
        process = self._process
        if process is not None and process.stdin is not None and process.returncode is None:
            process.stdin.close()
            self._close_cancellations()
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
        self._close_cancellations()
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None
        if self._pipe is not None:
            self._pipe.close()
        await process.wait()
        if self._stderr is not None:
            self._stderr.cancel()
            await asyncio.wait([self._stderr])

    async def _spawn(self) -> FramePipe:
        # Without what names the traces' collector, and may hold a credential for it: engines send none.
        ours = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        environment = {**ours, "PYTHONUNBUFFERED": "1"}
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = str(self._threads)
        source, sink = os.pipe()  # not asyncio's: those read small pieces, and copy them
        heard, self._cancellations = os.pipe()
        pipe = self._pipe = FramePipe(source)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "tts_server.engines.worker",
                self._engine, str(heard), str(self._batch_size),
                stdin=asyncio.subprocess.PIPE, stdout=sink, stderr=asyncio.subprocess.PIPE, pass_fds=(heard,),
                env=environment, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            pipe.close()
            self._close_cancellations()
            raise
        finally:
            os.close(sink)
            os.close(heard)
        self._group = self._process.pid
        with suppress(OSError):  # not Linux
            self._memory = os.open(f"/proc/{self._process.pid}/statm", os.O_RDONLY)
        assert self._process.stderr is not None  # noqa: S101 - asked for above
        self._stderr = asyncio.create_task(self._log(self._process.stderr))
        os.set_blocking(self._cancellations, False)
        return pipe

    async def _ask(self, wanted: bytes, utterances: int) -> FramePipe:
        """Send a frame that asks for so many, and say where the answer comes."""
        process, pipe = self._process, self._pipe
        if pipe is None or process is None or process.stdin is None or process.stdin.is_closing():
            raise EngineCrashed(f"Engine {self._engine} is not running.")
        self._numbers = range(self._spoken + 1, self._spoken + 1 + utterances)
        self._spoken += utterances
        self._pending = True
        try:
            process.stdin.write(wanted)
        except (ConnectionError, RuntimeError) as error:
            raise await self._crashed() from error
        return pipe

    def _cancel(self, number: int) -> None:
        with suppress(OSError):  # it has ended, which its other pipe shows
            os.write(self._cancellations, cancellation(number))

    async def _of_member(self, payload: memoryview) -> tuple[int, Samples | EngineError | None]:
        try:
            kind, number, rest = member_of(payload)
        except BrokenFrame as error:
            raise await self._broken(error) from error
        if number >= len(self._numbers):
            raise await self._broken(BrokenFrame(f"no utterance of the batch has the number {number}"))
        if kind is not Kind.AUDIO:
            return number, None if kind is Kind.DONE else _error(kind, rest)
        try:
            return number, self._samples(rest, [])
        except EngineGarbage as error:
            return number, error

    async def _receive_in_time(self, pipe: FramePipe, timeout_seconds: float) -> Frame:
        try:
            return await self._receive(pipe, timeout_seconds)
        except TimeoutError:
            raise EngineTimeout(f"Engine {self._engine} gave no audio for {timeout_seconds:g} s.") from None

    async def _receive(self, pipe: FramePipe, timeout_seconds: float | None = None) -> Frame:
        """One frame. A cancelled call loses nothing: the next one goes on where it was."""
        try:
            return await pipe.receive(timeout_seconds)
        except PipeEnded:
            raise await self._crashed() from None
        except BrokenFrame as error:
            raise await self._broken(error) from error

    def _close_cancellations(self) -> None:
        """It ends then, whatever it computes."""
        if self._cancellations >= 0:
            os.close(self._cancellations)
            self._cancellations = -1

    async def _broken(self, error: BrokenFrame) -> EngineCrashed:
        await self.kill()
        return EngineCrashed(f"Engine {self._engine} broke its protocol: {error}.")

    async def _crashed(self) -> EngineCrashed:
        await self.kill()
        assert self._process is not None  # noqa: S101 - it has crashed
        return EngineCrashed(f"Engine {self._engine} ended with {_ending(self._process.returncode)}.")

    def _samples(self, payload: memoryview, more: list[memoryview]) -> Samples:
        """One large part costs less on its way than many small ones."""
        data = b"".join([payload, *more]) if more else payload
        if not data or len(data) % 2:
            raise EngineGarbage(f"Engine {self._engine} yielded samples that are not numbers.")
        return np.frombuffer(data, "<i2")

    async def _log(self, stderr: asyncio.StreamReader) -> None:
        while line := await _line(stderr):
            if self._spoken and not _WITHOUT_TEXT.match(line):
                line = f"({len(line)} characters)"
            log.warning("engine wrote to stderr", engine=self._engine, pid=self.pid, line=line)


def _as_dict(utterance: Utterance) -> dict[str, object]:
    """Not dataclasses.asdict: that copies every value, for a tenth of a millisecond."""
    return {name: getattr(utterance, name) for name in utterance.__slots__}


def _error(kind: Kind, payload: memoryview) -> EngineError:
    if kind is not Kind.ERROR:
        return EngineCrashed(f"The engine sent {kind.name} where it may not.")
    said: Mapping[str, Any] = content_of(payload)
    return error_of(said)


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
