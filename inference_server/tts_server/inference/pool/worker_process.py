"""One worker process and its pipes, from the parent's side: begin it, write to it, end it, kill it."""

import asyncio
import os
import re
import signal
import sys
from contextlib import suppress

import structlog

from tts_server.inference.pool.frame_reader import FrameReader
from tts_server.inference.wire.frames import cancellation
from tts_server.inference.wire.shared_buffer import SharedBuffer

log = structlog.get_logger(__name__)

MEMORY_BYTES = 128
"""Of statm: seven numbers, of which the second is pages."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# What an engine prints may quote what it was asked to say. Python's stack frames and its fault handler's do not.
_WITHOUT_TEXT = re.compile(
    r"""Traceback\ \(most\ recent\ call\ (?:last|first)\):
    | Fatal\ Python\ error:\ (?:Segmentation\ fault|Aborted|Bus\ error|Illegal\ instruction)
    | (?:Current\ thread|Thread)\ 0x[0-9a-f]+\ (?:\[[^\]\s]*\]\ )?\(most\ recent\ call\ first\):
    | \s*File\ "[^"\s]+",\ line\ \d+,?\ in\ \S+
    """,
    re.VERBOSE,
)


class WorkerProcess:
    """One process of `tts_server.inference.worker.main`. `pipe` is what it says; see `frames` for what may be written.

    `sound`: the memory that both have; None where the system has none.
    """

    def __init__(
        self,
        engine: str,
        process: asyncio.subprocess.Process,
        pipe: FrameReader,
        cancellations: int,
        sound: SharedBuffer | None,
    ) -> None:
        self.pipe = pipe
        self.sound = sound
        self.stderr_may_contain_text = False
        """Whether it has been told a text, which its stderr may hold."""
        self._engine = engine
        self._process = process
        self._group: int | None = process.pid
        """Whom to kill; None once that is done."""
        self._cancellations = cancellations
        """File descriptor; negative once it is closed."""
        self._memory: int | None = None
        """File descriptor of /proc/<pid>/statm: it is read after each utterance, and opening costs most of that."""
        with suppress(OSError):  # not Linux
            self._memory = os.open(f"/proc/{process.pid}/statm", os.O_RDONLY)
        assert process.stderr is not None  # noqa: S101 - asked for in `begin`
        self._stderr = asyncio.create_task(self._log(process.stderr))

    @classmethod
    async def begin(cls, engine: str, threads: int, batch_size: int) -> "WorkerProcess":
        """Begin to load. Raises OSError where there can be no process."""
        # Without what names the traces' collector, and may hold a credential for it: engines send none.
        ours = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        environment = {**ours, "PYTHONUNBUFFERED": "1"}
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = str(threads)
        source, sink = os.pipe()  # not asyncio's: those read small pieces, and copy them
        heard, cancellations = os.pipe()
        pipe = FrameReader(source)
        sound = _shared_sound()
        shared = -1 if sound is None else sound.descriptor
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "tts_server.inference.worker.main", engine, str(heard), str(batch_size),
                str(shared), stdin=asyncio.subprocess.PIPE, stdout=sink, stderr=asyncio.subprocess.PIPE,
                pass_fds=(heard,) if shared < 0 else (heard, shared),
                env=environment, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            pipe.close()
            os.close(cancellations)
            raise
        finally:
            os.close(sink)
            os.close(heard)
            if sound is not None:
                sound.shared()
        os.set_blocking(cancellations, False)
        return cls(engine, process, pipe, cancellations, sound)

    @property
    def pid(self) -> int:
        """Of the process, also after its end."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False once it has ended, also while the event loop has not heard of it."""
        return self._process.returncode is None and not _has_ended(self._process.pid)

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        returncode = self._process.returncode
        if returncode is not None and returncode < 0:
            with suppress(ValueError):
                return signal.Signals(-returncode).name
        return f"exit code {returncode}"

    def write(self, frame: bytes) -> None:
        """Ask it for something. Raises ConnectionError where it does not listen any more."""
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing():
            raise ConnectionError("its stdin is closed")
        try:
            stdin.write(frame)
        except RuntimeError as error:  # uvloop's way to say that
            raise ConnectionError(str(error)) from error

    def cancel(self, number: int) -> None:
        """Nobody listens to this utterance, counted from 1."""
        with suppress(OSError):  # it has ended, which its other pipe shows
            os.write(self._cancellations, cancellation(number))

    def resident_bytes(self) -> int:
        """Its memory now; 0 where the system does not tell."""
        if self._memory is None:
            return 0
        try:
            pages = os.pread(self._memory, MEMORY_BYTES, 0).split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * PAGE_BYTES

    async def end(self, within_seconds: float) -> None:
        """It has so long from the end of its stdin, then it is killed."""
        if self._process.stdin is not None and self._process.returncode is None:
            self._process.stdin.close()
            self._close_cancellations()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), within_seconds)
        await self.kill()

    async def kill(self) -> None:
        """End it now, with whatever it has started, and wait until it is gone. Safe to call twice."""
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
        self.pipe.close()
        if self.sound is not None:
            self.sound.close()
        await self._process.wait()
        self._stderr.cancel()
        await asyncio.wait([self._stderr])

    def _close_cancellations(self) -> None:
        """It ends then, whatever it computes."""
        if self._cancellations >= 0:
            os.close(self._cancellations)
            self._cancellations = -1

    async def _log(self, stderr: asyncio.StreamReader) -> None:
        while line := await _line(stderr):
            if self.stderr_may_contain_text and not _WITHOUT_TEXT.fullmatch(line):
                line = f"({len(line)} characters)"
            log.warning("engine wrote to stderr", engine=self._engine, pid=self.pid, line=line)


async def _line(stream: asyncio.StreamReader) -> str:
    """A line with its end taken off; one that is too long is dropped for a note. Empty at the end of the stream."""
    try:
        raw = await stream.readline()
    except ValueError:
        return "(a very long line)"
    return raw.decode("utf-8", "replace").rstrip()[:500] or ("(empty)" if raw else "")


def _shared_sound() -> SharedBuffer | None:
    try:
        return SharedBuffer()
    except OSError:  # no such memory here, or none left: sound goes through the pipe
        return None


def _has_ended(pid: int) -> bool:
    if not hasattr(os, "waitid"):  # macOS: the event loop tells a moment later
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
