"""Loads an engine once and forks workers of it: `python -m tts_server.inference.worker.template onnx 5 {} null`.

Arguments: the engine's name, the descriptor of the control socket, the engine's keyword arguments as JSON, and the
languages whose numbers are written in words. The workers share all memory that loading took, weights and dictionaries,
until they write to it. A packet of the control socket (`wire/template.py`) asks for a worker; when the socket ends, the
process waits for its workers and ends too.

Only a process without further threads may fork: their locks would never be released in the copy. If the engine has
started some, the reply says so, and no worker is forked.
"""

import faulthandler
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from tts_server.engines.protocol import Engine
from tts_server.engines.registry import engine_factory
from tts_server.inference.wire.template import (
    DESCRIPTORS,
    PACKET_BYTES,
    ForkReply,
    ForkRequest,
    WorkerEnd,
)
from tts_server.inference.worker.lifetime import die_with_parent
from tts_server.inference.worker.main import serve, warm_up
from tts_server.malloc_tuning import give_back_freed_memory, keep_freed_memory


def main(arguments: list[str]) -> int:
    """Serve until the control socket ends."""
    die_with_parent()
    faulthandler.enable()
    keep_freed_memory()
    os.dup2(2, 1)  # an engine may print
    control = socket.socket(fileno=int(arguments[1]))
    engine: Engine | Exception
    try:
        engine = engine_factory(arguments[0])(**json.loads(arguments[2]))
        warm_up(engine)
        if (before_fork := getattr(engine, "before_fork", None)) is not None:
            before_fork()
    except Exception as error:
        engine = error  # each worker reports it, as one that loads the engine itself does
    give_back_freed_memory()
    gc.collect()
    gc.freeze()  # a collection in a worker would write to every object
    Template(control, engine, json.loads(arguments[3])).run()
    return 0


class Template:
    """Forks workers, and reports the end of each."""

    def __init__(
        self, control: socket.socket, engine: Engine | Exception, normalized_languages: Sequence[str] | None
    ) -> None:
        self._control = control
        self._normalized_languages = normalized_languages
        self._engine = engine
        self._workers: dict[int, int] = {}
        """Process IDs by the descriptor that tells of their end."""
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def run(self) -> None:
        """Serve until the control socket and all workers have ended."""
        connected = True
        while connected or self._workers:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._workers:
                    self._end(descriptor)
                elif not self._answer():
                    connected = False
                    self._poll.unregister(self._control)

    def _answer(self) -> bool:
        """Answer a request; false if there will be no more."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET_BYTES, DESCRIPTORS)
        except ConnectionError:
            return False
        if not packet:
            return False
        reply, sent = self._fork(ForkRequest.parse(packet), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            socket.send_fds(self._control, [reply.packet()], sent)
        except ConnectionError:
            return False
        return True

    def _fork(self, request: ForkRequest, descriptors: list[int]) -> tuple[ForkReply, list[int]]:
        if sum(1 for _ in Path("/proc/self/task").iterdir()) > 1:
            return ForkReply(request.number), []
        template = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            return ForkReply(request.number, failure=error.strerror or "fork failed"), []
        if pid == 0:
            self._become_worker(template, request, descriptors)
        os.setpgid(pid, pid)  # before anybody knows its number: its group can be killed from then on
        ended = os.pidfd_open(pid)
        self._workers[ended] = pid
        self._poll.register(ended, select.POLLIN)
        return ForkReply(request.number, pid=pid, loaded=not isinstance(self._engine, Exception)), [ended]

    def _end(self, descriptor: int) -> None:
        pid = self._workers.pop(descriptor)
        self._poll.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        with suppress(OSError):  # nobody wants to know any more
            self._control.send(WorkerEnd(pid, os.waitstatus_to_exitcode(status)).packet())

    def _become_worker(self, template: int, request: ForkRequest, descriptors: list[int]) -> NoReturn:
        code = 1
        try:
            os.setpgid(0, 0)
            die_with_parent()
            if os.getppid() != template:  # it ended before
                os.kill(os.getpid(), signal.SIGKILL)
            self._control.close()
            for descriptor in self._workers:
                os.close(descriptor)
            for standard, descriptor in enumerate(descriptors[:3]):
                os.dup2(descriptor, standard)
                os.close(descriptor)
            cancelled, *shared = descriptors[3:]
            memory = shared[0] if shared else -1
            code = serve(lambda: self._engine, cancelled, request.batch_size, memory, self._normalized_languages)
        finally:
            os._exit(code)  # the rest of the program belongs to the template


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
