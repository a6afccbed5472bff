"""A batch of utterances on one worker, from the parent's side: each has its own reader, end and failure."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from copy import copy

from tts_server.errors import EngineCrashed, EngineError
from tts_server.inference.client import Samples, Utterance
from tts_server.inference.pool.worker_client import WorkerClient


class Batch:
    """Runs once. Ends when every member has ended or is cancelled."""

    def __init__(self, worker: WorkerClient, utterances: Sequence[Utterance]) -> None:
        self.worker = worker
        self.members = [Member(self, utterance) for utterance in utterances]
        self.invalid_audio = False
        """Whether a member received audio that cannot be its text."""
        self._sent: list[Member] = []
        """Members sent to the worker, by their numbers there: without those that were cancelled before."""
        self._running: asyncio.Task[None] | None = None

    async def run(self, timeout_seconds: float) -> bool:
        """Pass each member its audio as it comes. The timeout applies to every wait for any of it.

        Returns whether it ran to its end; false if all members were cancelled: the worker must settle then. Raises
        what ended the batch too early; its members raise it too.
        """
        running = self._running = asyncio.create_task(self._run(timeout_seconds))
        try:
            await asyncio.wait([running])
            if running.cancelled():
                return False
            running.result()
        finally:
            running.cancel()
            self._running = None
            del running  # it keeps the exception that ended it, and that this frame: no cycle
        return bool(self._sent)

    async def _run(self, timeout_seconds: float) -> None:
        end: EngineError = EngineCrashed("The engine is stopping.")
        self._sent = [member for member in self.members if not member.over]
        if not self._sent:
            return
        utterances = [member.utterance for member in self._sent]
        try:
            async with aclosing(self.worker.speak_batch(utterances, timeout_seconds)) as replies:
                async for number, part in replies:
                    self._sent[number].receive(part)
        except EngineError as error:
            end = copy(error)  # the original holds this frame
            raise
        finally:
            for member in self.members:
                member.end(end)

    def cancel_member(self, member: "Member") -> None:
        """Cancel a member that has not ended, and the batch with its last one."""
        if member.over:
            return
        member.end(None)
        if member in self._sent:
            self.worker.cancel_member(self._sent.index(member))
        if self._running is not None and all(one.over for one in self.members):
            self._running.cancel()


class Member:
    """One utterance of a batch, as its reader sees it."""

    def __init__(self, batch: Batch, utterance: Utterance) -> None:
        self._batch: Batch | None = batch
        """Cleared once its reader has left: the two would keep each other in memory."""
        self.utterance = utterance
        self.over = False
        self._failure: EngineError | None = None
        self._parts: deque[Samples] = deque()
        self._changed = asyncio.Event()

    async def next_part(self) -> Samples | None:
        """Return the next samples, None after the last. Raises its own `EngineError`, or what ended the batch.

        Has no timeout: the batch has one.
        """
        while not self._parts:
            if self.over:
                if self._failure is not None:
                    raise copy(self._failure)  # the original is other members' too, and would hold this frame
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._parts.popleft()

    def receive(self, part: Samples | EngineError | None) -> None:
        """Take the worker's reply: samples, a failure of this utterance, or its end."""
        if part is None or isinstance(part, EngineError):
            self.end(part)
        elif not self.over:
            self._parts.append(part)
            self._changed.set()

    def end(self, failure: EngineError | None) -> None:
        """End it; only the first end counts."""
        if not self.over:
            self.over, self._failure = True, failure
            self._changed.set()

    def cancel(self, *, invalid_audio: bool = False) -> None:
        """Stop reading; `invalid_audio` if the audio cannot be the text. Every reader calls it, at the end too."""
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.invalid_audio = batch.invalid_audio or invalid_audio
            batch.cancel_member(self)
        self._parts.clear()
