"""One worker process and its pipes, from the parent's side: start it, write to it, stop it, kill it."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from tts_server.inference.pool.frame_reader import FrameReader
from tts_server.inference.pool.template import ForkedProcess, WorkerTemplate
from tts_server.inference.wire.frames import cancellation
from tts_server.inference.wire.shared_buffer import SharedBuffer

log = structlog.get_logger(__name__)

Process = asyncio.subprocess.Process | ForkedProcess

MEMORY_BYTES = 128
"""Enough to read /proc/<pid>/statm: seven numbers, of which the second is resident pages (proc(5))."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# What an engine prints may quote the text of a request. Stack frames of Python and of its fault handler do not.
_WITHOUT_TEXT = re.compile(
    r"""Traceback\ \(most\ recent\ call\ (?:last|first)\):
    | Fatal\ Python\ error:\ (?:Segmentation\ fault|Aborted|Bus\ error|Illegal\ instruction)
    | (?:Current\ thread|Thread)\ 0x[0-9a-f]+\ (?:\[[^\]\s]*\]\ )?\(most\ recent\ call\ first\):
    | \s*File\ "[^"\s]+",\ line\ \d+,?\ in\ \S+
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """Command of a worker process."""

    engine: str
    """Name of the engine, or `module:attribute`."""
    threads: int = 1
    """Threads that the engine's libraries may use."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the engine's constructor, as JSON has them: no secrets, any process can read them."""
    normalized_languages: tuple[str, ...] | None = None
    """Languages whose numbers are written in words before the engine gets them; None: those that it asks for."""
    python: str | None = None
    """Interpreter: one for which this package is installed, and what the engine needs. None: this process's."""


class WorkerProcess:
    """One process of `tts_server.inference.worker.main`. `pipe` reads its frames; `frames` says what may be written.

    `shared_buffer` is the memory shared with it; None if the system has none.
    """

    def __init__(
        self,
        command: WorkerCommand,
        process: Process,
        pipe: FrameReader,
        cancellations: int,
        shared_buffer: SharedBuffer | None,
    ) -> None:
        self.pipe = pipe
        self.shared_buffer = shared_buffer
        self.stderr_may_contain_text = False
        """Whether stderr may contain request text: then only its length is logged."""
        self._engine = command.engine
        self._process = process
        self._group: int | None = process.pid
        """Process group; None after it was killed."""
        self._cancellations = cancellations
        """File descriptor of the pipe for cancellations; -1 once it is closed."""
        self._memory: int | None = None
        """File descriptor of /proc/<pid>/statm, kept open: opening it would cost most of a read."""
        with suppress(OSError):  # not Linux
            self._memory = os.open(f"/proc/{process.pid}/statm", os.O_RDONLY)
        assert process.stderr is not None  # noqa: S101 - requested in `spawn`
        self._stderr = asyncio.create_task(self._log(process.stderr))

    @classmethod
    async def spawn(
        cls, command: WorkerCommand, batch_size: int, template: WorkerTemplate | None = None
    ) -> "WorkerProcess":
        """Start a process that loads the engine, or have `template` fork one. Raises OSError if the system cannot."""
        # Engines send no traces: the variables that name the collector may hold a credential for it.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        environment = {**inherited, "PYTHONUNBUFFERED": "1"}
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = str(command.threads)
        # The worker's ends of the pipes are closed here in any case, this process's ends only if the start fails.
        with ExitStack() as inherited_ends, ExitStack() as own_ends:
            source, sink = os.pipe()  # not asyncio's: those read small pieces, and copy them
            inherited_ends.callback(os.close, sink)
            pipe = own_ends.enter_context(closing(FrameReader(source)))
            cancelled, cancellations = os.pipe()
            inherited_ends.callback(os.close, cancelled)
            own_ends.callback(os.close, cancellations)
            os.set_blocking(cancellations, False)
            shared, shared_buffer = -1, _shared_buffer()
            if shared_buffer is not None:
                shared = shared_buffer.descriptor
                inherited_ends.callback(shared_buffer.close_descriptor)
            process: Process | None = None
            if template is not None:
                process = await _forked(template, environment, batch_size, (sink, cancelled, shared))
            process = process or await asyncio.create_subprocess_exec(
                command.python or sys.executable, "-P", "-m", "tts_server.inference.worker.main",
                command.engine, str(cancelled),
                str(batch_size), str(shared), json.dumps(dict(command.options)),
                json.dumps(command.normalized_languages),
                stdin=asyncio.subprocess.PIPE, stdout=sink, stderr=asyncio.subprocess.PIPE,
                pass_fds=(cancelled,) if shared < 0 else (cancelled, shared),
                env=environment, start_new_session=True,
            )  # fmt: skip
            own_ends.pop_all()
        return cls(command, process, pipe, cancellations, shared_buffer)

    @property
    def pid(self) -> int:
        """Process ID, also after its end."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs: false once it has ended, even before the event loop notices."""
        if self._process.returncode is not None:
            return False
        if isinstance(self._process, ForkedProcess):
            return not self._process.has_ended
        return not _has_ended(self._process.pid)

    @property
    def ending(self) -> str:
        """How it ended: the signal's name or the exit code."""
        returncode = self._process.returncode
        if returncode is not None and returncode < 0:
            with suppress(ValueError):
                return signal.Signals(-returncode).name
        return f"exit code {returncode}"

    def write(self, frame: bytes) -> None:
        """Write a frame to its stdin. Raises ConnectionError if it does not read any more."""
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing():
            raise ConnectionError("its stdin is closed")
        try:
            stdin.write(frame)
        except RuntimeError as error:  # uvloop raises this one
            raise ConnectionError(str(error)) from error

    def cancel(self, number: int) -> None:
        """Cancel utterance `number` (1-based)."""
        with suppress(OSError):  # it has ended; its other pipe reports that
            os.write(self._cancellations, cancellation(number))

    def resident_bytes(self) -> int:
        """Return its resident memory; 0 if the system does not report it."""
        if self._memory is None:
            return 0
        try:
            pages = os.pread(self._memory, MEMORY_BYTES, 0).split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * PAGE_BYTES

    async def stop(self, grace_seconds: float) -> None:
        """Close its stdin, which ends it; kill it after `grace_seconds`."""
        if self._process.stdin is not None and self._process.returncode is None:
            self._process.stdin.close()
            self._close_cancellations()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_seconds)
        await self.kill()

    async def kill(self) -> None:
        """Kill it with all processes that it has started, and wait for its end. Safe to call twice."""
        if self._group is not None:
            # Its own session: the group is the worker and its children, never this process. Only once: later the
            # number may belong to another group.
            with suppress(ProcessLookupError):
                os.killpg(self._group, signal.SIGKILL)
            self._group = None
        self._close_cancellations()
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None
        self.pipe.close()
        if self.shared_buffer is not None:
            self.shared_buffer.close()
        await self._process.wait()
        self._stderr.cancel()
        await asyncio.wait([self._stderr])

    def _close_cancellations(self) -> None:
        """Close the pipe for cancellations: the worker ends then, whatever it computes."""
        if self._cancellations >= 0:
            os.close(self._cancellations)
            self._cancellations = -1

    async def _log(self, stderr: asyncio.StreamReader) -> None:
        while line := await _line(stderr):
            if self.stderr_may_contain_text and not _WITHOUT_TEXT.fullmatch(line):
                line = f"({len(line)} characters)"
            log.warning("engine wrote to stderr", engine=self._engine, pid=self.pid, line=line)


async def _line(stream: asyncio.StreamReader) -> str:
    """Return the next line without its end, or a note if it is too long. Empty at the end of the stream."""
    try:
        raw = await stream.readline()
    except ValueError:
        return "(a very long line)"
    return raw.decode("utf-8", "replace").rstrip()[:500] or ("(empty)" if raw else "")


async def _forked(
    template: WorkerTemplate, environment: Mapping[str, str], batch_size: int, descriptors: tuple[int, int, int]
) -> ForkedProcess | None:
    """Have `template` fork a worker; None if its engine cannot be forked.

    `descriptors` are its stdout, its pipe of cancellations and its shared memory, -1 for none.
    """
    sink, cancelled, shared = descriptors
    loop = asyncio.get_running_loop()
    with ExitStack() as inherited_ends, ExitStack() as own_ends:
        source, own_stdin = os.pipe()
        inherited_ends.callback(os.close, source)
        stdin, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(own_stdin, "wb", buffering=0))
        own_ends.callback(stdin.close)
        own_stderr, stderr = os.pipe()
        inherited_ends.callback(os.close, stderr)
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(own_stderr, "rb", buffering=0)
        )
        own_ends.callback(transport.close)
        passed = [source, sink, stderr, cancelled, *([] if shared < 0 else [shared])]
        worker = await template.fork(environment, batch_size, passed, (stdin, reader))
        if worker is not None:
            own_ends.pop_all()
    return worker


def _shared_buffer() -> SharedBuffer | None:
    try:
        return SharedBuffer()
    except OSError:  # not supported, or no memory left: samples go through the pipe
        return None


def _has_ended(pid: int) -> bool:
    if not hasattr(os, "waitid"):  # macOS: the event loop notices a moment later
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
