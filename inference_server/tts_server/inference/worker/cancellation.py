"""Receives cancellations in a thread of the worker, while its main thread runs the engine."""

import os
import threading
from collections.abc import Callable
from typing import NoReturn

from tts_server.inference.wire.frames import NUMBER_BYTES, cancelled_number
from tts_server.inference.worker.lifetime import exit_worker

READ_BYTES = 65_536


class CancellationReader:
    """Knows which utterances are cancelled. Utterances are numbered from 1 in the order of `begin`."""

    def __init__(self, source: int) -> None:
        self.cancel_engine: Callable[[], None] | None = None
        """The engine's own `cancel`, if it has one."""
        self._source = source
        self._first, self._last = 0, 0
        """Numbers of the utterances that were begun last; a batch has more than one."""
        self._cancelled: set[int] = set()
        self._running = False
        self._lock = threading.Lock()
        """Held when the next utterance begins: a late cancellation must not hit the wrong one."""

    @property
    def all_cancelled(self) -> bool:
        """Whether the current utterance, or every one of the current batch, is cancelled."""
        return self._cancelled.issuperset(range(self._first, self._last + 1))

    def is_cancelled(self, member: int) -> bool:
        """Whether this utterance of the current batch, counted from 0, is cancelled."""
        return self._first + member in self._cancelled

    def begin(self, size: int = 1) -> None:
        """Begin the next utterance, or the next batch of `size`."""
        with self._lock:
            self._first, self._last = self._last + 1, self._last + size
            self._cancelled = {number for number in self._cancelled if number >= self._first}
            self._running = True

    def end(self) -> None:
        """Record that the engine is idle: a cancellation must not reach it any more."""
        with self._lock:
            self._running = False

    def run(self) -> NoReturn:
        """Read cancellations until the pipe ends; then end the process."""
        received = b""
        while data := os.read(self._source, READ_BYTES):
            received += data
            while len(received) >= NUMBER_BYTES:
                self.cancel(cancelled_number(received[:NUMBER_BYTES]))
                received = received[NUMBER_BYTES:]
        exit_worker()

    def cancel(self, number: int) -> None:
        """Cancel utterance `number`, whether it has ended, is running or is still to come."""
        with self._lock:
            self._cancelled.add(number)
            if self._running and self.all_cancelled and self.cancel_engine is not None:
                self.cancel_engine()
