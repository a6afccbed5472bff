"""A template from the parent's side: a process that has loaded the engine and forks workers, which share its memory."""

import asyncio
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from tts_server.inference.wire.template import DESCRIPTORS, PACKET_BYTES, ForkReply, ForkRequest, parse_reply

KILLED = -signal.SIGKILL
SUPPORTED = sys.platform == "linux" and hasattr(os, "pidfd_open")


class Sink(Protocol):
    """The stdin of a process."""

    def write(self, data: bytes, /) -> None:
        """Write, or keep for later."""

    def is_closing(self) -> bool:
        """Whether it takes no more."""

    def close(self) -> None:
        """Close it once all is written."""


class ForkedProcess:
    """A worker that a template has forked, with the interface of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, ended: int, stdin: Sink, stderr: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: Sink = stdin
        self.stderr = stderr
        self._ended = ended
        """Descriptor of the process, readable when it has ended."""
        self._finished = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, also before the template has said so."""
        if self.returncode is not None:
            return True
        poll = select.poll()
        poll.register(self._ended, select.POLLIN)
        return bool(poll.poll(0))

    async def wait(self) -> int:
        """Wait for its end; returns its exit code."""
        await self._finished.wait()
        assert self.returncode is not None  # noqa: S101 - set before the event
        return self.returncode

    def finish(self, exit_code: int) -> None:
        """Record its end."""
        if self.returncode is None:
            self.returncode = exit_code
            os.close(self._ended)
            self.stdin.close()
            self._finished.set()


class WorkerTemplate:
    """Starts the template with the first `fork`, and again if it has ended or its engine did not load."""

    def __init__(
        self, engine: str, options: Mapping[str, Any], normalized_languages: Sequence[str] | None = None
    ) -> None:
        self._arguments = (engine, json.dumps(dict(options)), json.dumps(normalized_languages))
        self._current: _Running | None = None
        self._started = asyncio.Lock()
        self._threads = False
        """Whether the engine has threads: it cannot be forked."""

    @property
    def pid(self) -> int | None:
        """Process ID of the template; None while there is none."""
        return None if self._current is None or self._current.lost else self._current.process.pid

    async def fork(
        self,
        environment: Mapping[str, str],
        batch_size: int,
        descriptors: Sequence[int],
        own_ends: tuple[Sink, asyncio.StreamReader],
    ) -> ForkedProcess | None:
        """Fork a worker with these descriptors, of whose pipes `own_ends` are the other ends of stdin and stderr.

        Returns None if the engine has threads: then the worker has to load the engine itself. Raises OSError if the
        system cannot fork. If it is cancelled, such as by a timeout while the engine loads, the template is killed.
        """
        if self._threads:
            return None
        async with self._started:
            if self._current is None or self._current.used_up:
                self._current = await _Running.start(*self._arguments, environment)
        running = self._current
        try:
            reply, ended = await running.request(batch_size, descriptors)
        except asyncio.CancelledError:
            running.kill()
            raise
        if reply.failure:
            raise OSError(0, reply.failure)
        if reply.pid is None:
            self._threads = True
            running.retire()
            return None
        worker = ForkedProcess(reply.pid, ended[0], *own_ends)
        running.add(worker)
        if not reply.loaded:
            running.retire()
        return worker

    async def stop(self) -> None:
        """End the template, after its workers. Safe to call twice."""
        if self._current is not None:
            self._current.kill()
            await self._current.process.wait()
            self._current = None


class _Running:
    """One template process and its control socket."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self.process = process
        self.lost = False
        """Whether the control socket has ended."""
        self._retired = False
        self._control = control
        self._numbers = 0
        self._replies: dict[int, asyncio.Future[tuple[ForkReply, list[int]]]] = {}
        self._workers: dict[int, ForkedProcess] = {}
        self._early_ends: dict[int, int] = {}
        """Exit codes of workers that ended before `add`."""
        asyncio.get_running_loop().add_reader(control, self._read)

    @classmethod
    async def start(cls, engine: str, options: str, languages: str, environment: Mapping[str, str]) -> "_Running":
        own, inherited = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "tts_server.inference.worker.template", engine, str(inherited.fileno()),
                options, languages,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, pass_fds=(inherited.fileno(),),
                env=dict(environment), start_new_session=True,
            )  # fmt: skip
        except BaseException:
            own.close()
            raise
        finally:
            inherited.close()
        return cls(process, own)

    @property
    def used_up(self) -> bool:
        """Whether the next worker needs another template."""
        return self.lost or self._retired

    async def request(self, batch_size: int, descriptors: Sequence[int]) -> tuple[ForkReply, list[int]]:
        if self.lost:
            raise ConnectionError("The process that forks workers has ended.")
        self._numbers += 1
        number = self._numbers
        reply: asyncio.Future[tuple[ForkReply, list[int]]] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        try:
            socket.send_fds(self._control, [ForkRequest(number, batch_size).packet()], list(descriptors))
            return await reply
        finally:
            self._replies.pop(number, None)

    def add(self, worker: ForkedProcess) -> None:
        """Report the end of `worker` to it."""
        if worker.pid in self._early_ends or self.lost:
            worker.finish(self._early_ends.pop(worker.pid, KILLED))
        else:
            self._workers[worker.pid] = worker

    def retire(self) -> None:
        """Let the process end with its last worker."""
        self._retired = True
        self._lose_if_unused()

    def kill(self) -> None:
        """Kill the process; its workers end with it."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self._lose()

    def _read(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET_BYTES, DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        if not packet:
            self._lose()
            return
        message = parse_reply(packet)
        if isinstance(message, ForkReply):
            reply = self._replies.get(message.number)
            if reply is None or reply.done():  # who asked has gone: the pipes of that worker are closed, it ends
                for descriptor in descriptors:
                    os.close(descriptor)
            else:
                reply.set_result((message, descriptors))
        elif (worker := self._workers.pop(message.ended_pid, None)) is not None:
            worker.finish(message.exit_code)
        else:
            self._early_ends[message.ended_pid] = message.exit_code
        self._lose_if_unused()

    def _lose_if_unused(self) -> None:
        if self._retired and not self._workers and not self._replies and not self._early_ends:
            self._lose()

    def _lose(self) -> None:
        if self.lost:
            return
        self.lost = True
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(ConnectionError("The process that forks workers has ended."))
        for worker in self._workers.values():
            worker.finish(KILLED)
        self._workers.clear()
