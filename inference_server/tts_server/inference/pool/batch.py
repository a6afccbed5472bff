"""Utterances that one process speaks together, from the parent's side: each has its own listener, end and failure."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing

from tts_server.errors import EngineCrashed, EngineError
from tts_server.inference.client import Samples, Utterance
from tts_server.inference.pool.worker_client import WorkerClient


class Batch:
    """Runs once. It is over when every member has ended or left."""

    def __init__(self, process: WorkerClient, utterances: Sequence[Utterance]) -> None:
        self.process = process
        self.members = [Member(self, utterance) for utterance in utterances]
        self._asked: list[Member] = []
        """Those that the process speaks, by their numbers there: who left before is not among them."""
        self.invalid_audio = False
        """Whether what a member heard cannot have been its text."""
        self._running: asyncio.Task[None] | None = None

    async def run(self, timeout_seconds: float) -> bool:
        """Hand everybody's sound over as it comes; the timeout is on every wait for any of it.

        Raises what ended all of it too early, for the members too. False where nobody listens any more: the process
        must be settled then.
        """
        self._running = asyncio.create_task(self._run(timeout_seconds))
        try:
            await asyncio.wait([self._running])
        finally:
            self._running.cancel()
        if self._running.cancelled():
            return False
        self._running.result()
        return bool(self._asked)

    async def _run(self, timeout_seconds: float) -> None:
        end: EngineError = EngineCrashed("The engine is stopping.")
        self._asked = [member for member in self.members if not member.over]
        if not self._asked:
            return
        utterances = [member.utterance for member in self._asked]
        try:
            async with aclosing(self.process.speak_batch(utterances, timeout_seconds)) as parts:
                async for number, part in parts:
                    self._asked[number].hear(part)
        except EngineError as error:
            end = error
            raise
        finally:
            for member in self.members:
                member.end(end)

    def left(self, member: "Member") -> None:
        """Nobody listens to it any more: the engine may stop there, and stops where it was the last."""
        if member.over:
            return
        member.end(None)
        if member in self._asked:
            self.process.abandon(self._asked.index(member))
        if self._running is not None and all(one.over for one in self.members):
            self._running.cancel()


class Member:
    """Where one utterance of a batch is spoken."""

    def __init__(self, batch: Batch, utterance: Utterance) -> None:
        self.batch = batch
        self.utterance = utterance
        self.over = False
        self._failure: EngineError | None = None
        self._parts: deque[Samples] = deque()
        self._news = asyncio.Event()

    async def part(self) -> Samples | None:
        """The next of its sound, None after the last. Raises `EngineError`: its own, or what ended the batch.

        The batch has the timeout.
        """
        while not self._parts:
            if self.over:
                if self._failure is not None:
                    raise self._failure
                return None
            self._news.clear()
            await self._news.wait()
        return self._parts.popleft()

    def hear(self, part: Samples | EngineError | None) -> None:
        """What the process says of it: sound, its own failure, or its end."""
        if part is None or isinstance(part, EngineError):
            self.end(part)
        elif not self.over:
            self._parts.append(part)
            self._news.set()

    def end(self, failure: EngineError | None) -> None:
        """No more comes; only the first end counts."""
        if not self.over:
            self.over, self._failure = True, failure
            self._news.set()

    def leave(self, *, invalid_audio: bool = False) -> None:
        """Its listener hears no more; `invalid_audio`: because it was no speech."""
        self.batch.invalid_audio = self.batch.invalid_audio or invalid_audio
        self.batch.left(self)
