"""One engine process, from the parent's side: start it, have it speak, stop it, kill it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any

import numpy as np

from tts_server.errors import EngineCrashed, EngineError, EngineTimeout, InvalidAudio
from tts_server.inference.client import Samples, Utterance, Voices
from tts_server.inference.pool.frame_reader import FrameReader
from tts_server.inference.pool.worker_process import WorkerProcess
from tts_server.inference.wire.errors import error_of
from tts_server.inference.wire.frames import (
    SOUND,
    BrokenFrame,
    Frame,
    Kind,
    PipeEnded,
    content_of,
    json_frame,
    member_of,
    place_of,
)
from tts_server.scheduling.batching import BatchCost

CANCEL_SECONDS = 2.0
"""What an engine has to stop after CANCEL before it is killed."""
_FIELDS = Utterance.__slots__
_values_of = attrgetter(*_FIELDS)


class WorkerClient:
    """A worker, and what it is asked for: one utterance at a time and perhaps the next, or one batch.

    `batch_size`: what an engine that can batch is measured with; below 2 it is not.
    """

    def __init__(self, engine: str, threads: int, batch_size: int = 0) -> None:
        self.sample_rate_hz = 0
        self.voices: Voices = {}
        self.passage_characters = 0
        self._engine = engine
        self._threads = threads
        self._batch_size = batch_size
        self.measured: BatchCost | None = None
        self.voice_groups: Mapping[str, str] = {}
        """Of an engine that can batch, see `BatchingEngine`."""
        self._child: WorkerProcess | None = None
        self._spoken = 0
        """Utterances that it was asked for."""
        self._numbers = range(0)
        """Of those that it speaks, or spoke last."""
        self._ahead: int | None = None
        """Of the one that it will speak next, if it knows that already."""
        self._pending = False
        """Whether a DONE or an ERROR is still to come."""

    @property
    def pid(self) -> int | None:
        """None before the start."""
        return None if self._child is None else self._child.pid

    @property
    def alive(self) -> bool:
        """False once it has ended, also while the event loop has not heard of it."""
        return self._child is not None and self._child.alive

    async def start(self, timeout_seconds: float) -> None:
        """Load and warm up. Raises `EngineError`, and leaves no process then."""
        try:
            async with asyncio.timeout(timeout_seconds):
                self._child = await WorkerProcess.begin(self._engine, self._threads, self._batch_size)
                kind, payload = await self._receive(self._child.pipe)
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
        self.passage_characters = int(said.get("passage_characters", 0))
        self.voice_groups = said.get("voice_groups", {})
        self.measured = BatchCost(**said["batch"]) if said.get("batch") else None

    async def ask(self, utterance: Utterance) -> None:
        """Have it speak: `part` says what comes. Whoever does not hear all of it calls `settle` before it is free."""
        await self._ask(json_frame(Kind.SPEAK, _as_dict(utterance)), 1)

    def enqueue_next(self, utterance: Utterance) -> None:
        """Sends the next request while the worker still speaks, so that it goes on at once. See `start_next`."""
        self._spoken += 1
        self._ahead = self._spoken
        if self._child is not None:
            with suppress(ConnectionError):  # it has ended, as will be found where it speaks
                self._child.write(json_frame(Kind.SPEAK, _as_dict(utterance)))

    def cancel_next(self) -> None:
        """Nobody wants to hear any more what it is to speak next; it is still to be settled, after `start_next`."""
        if self._ahead is not None:
            self._cancel(self._ahead)

    def start_next(self) -> None:
        """What it was asked ahead is what it speaks now, as after `ask`. Only when it is at rest."""
        assert self._ahead is not None  # noqa: S101 - it was asked
        self._numbers = range(self._ahead, self._ahead + 1)
        self._ahead = None
        self._pending = True

    async def part(self, timeout_seconds: float) -> Samples | None:
        """The next of the sound that was asked for, None after the last. Raises what `EngineClient.speak` does."""
        pipe = self._pipe
        kind, payload = await self._receive_in_time(pipe, timeout_seconds)
        if kind in SOUND:
            return self._samples(await self._sound((kind, payload), pipe.more_sound()))
        self._pending = False
        if kind is Kind.DONE:
            return None
        raise _error(kind, payload)

    async def speak_batch(
        self, utterances: Sequence[Utterance], timeout_seconds: float
    ) -> AsyncGenerator[tuple[int, Samples | EngineError | None]]:
        """Yield what comes of each: its index with a part of its sound, its own failure, or None at its end.

        The timeout is on every wait for any of it. After an early end (`aclose`, a timeout) call `settle`.
        """
        wanted = {"utterances": [_as_dict(utterance) for utterance in utterances]}
        await self._ask(json_frame(Kind.BATCH, wanted), len(utterances))
        while True:
            kind, payload = await self._receive_in_time(self._pipe, timeout_seconds)
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
        if not self._pending or self._child is None:
            return self.alive
        try:
            for number in self._numbers:
                self._cancel(number)
            async with asyncio.timeout(CANCEL_SECONDS):
                while (await self._receive(self._child.pipe))[0] in SOUND | {Kind.MEMBER}:
                    pass
        except (EngineError, TimeoutError):
            await self.kill()
            return False
        self._pending = False
        return True

    def resident_bytes(self) -> int:
        """Its memory now; 0 where the system does not tell."""
        return 0 if self._child is None else self._child.resident_bytes()

    async def stop(self) -> None:
        """End it: it has two seconds from the end of its stdin, then it is killed."""
        if self._child is not None:
            await self._child.end(CANCEL_SECONDS)

    async def kill(self) -> None:
        """End it now, with whatever it has started, and wait until it is gone. Safe to call twice."""
        if self._child is not None:
            await self._child.kill()

    @property
    def _pipe(self) -> FrameReader:
        if self._child is None:
            raise EngineCrashed(f"Engine {self._engine} is not running.")
        return self._child.pipe

    async def _ask(self, wanted: bytes, utterances: int) -> None:
        """Send a frame that asks for so many."""
        child = self._child
        if child is None:
            raise EngineCrashed(f"Engine {self._engine} is not running.")
        child.stderr_may_contain_text = True
        self._numbers = range(self._spoken + 1, self._spoken + 1 + utterances)
        self._spoken += utterances
        self._pending = True
        try:
            child.write(wanted)
        except ConnectionError as error:
            raise await self._crashed() from error

    def _cancel(self, number: int) -> None:
        if self._child is not None:
            self._child.cancel(number)

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
            return number, self._samples(rest)
        except InvalidAudio as error:
            return number, error

    async def _receive_in_time(self, pipe: FrameReader, timeout_seconds: float) -> Frame:
        try:
            return await self._receive(pipe, timeout_seconds)
        except TimeoutError:
            raise EngineTimeout(f"Engine {self._engine} gave no audio for {timeout_seconds:g} s.") from None

    async def _receive(self, pipe: FrameReader, timeout_seconds: float | None = None) -> Frame:
        """One frame. A cancelled call loses nothing: the next one goes on where it was."""
        try:
            return await pipe.receive(timeout_seconds)
        except PipeEnded:
            raise await self._crashed() from None
        except BrokenFrame as error:
            raise await self._broken(error) from error

    async def _broken(self, error: BrokenFrame) -> EngineCrashed:
        await self.kill()
        return EngineCrashed(f"Engine {self._engine} broke its protocol: {error}.")

    async def _crashed(self) -> EngineCrashed:
        await self.kill()
        assert self._child is not None  # noqa: S101 - it has crashed
        return EngineCrashed(f"Engine {self._engine} ended with {self._child.ending}.")

    async def _sound(self, first: Frame, more: list[Frame]) -> memoryview | bytes:
        """All of it in one, out of the shared memory: one large part costs less on its way than many small ones."""
        if first[0] is Kind.AUDIO and not more:
            return first[1]
        try:
            return b"".join([self._bytes_of(frame) for frame in (first, *more)])
        except PipeEnded:
            raise await self._crashed() from None
        except BrokenFrame as error:
            raise await self._broken(error) from error

    def _bytes_of(self, frame: Frame) -> memoryview:
        kind, payload = frame
        if kind is Kind.AUDIO:
            return payload
        sound = None if self._child is None else self._child.sound
        if sound is None:
            raise BrokenFrame("there is no shared memory")
        return sound.at(*place_of(payload))

    def _samples(self, data: memoryview | bytes) -> Samples:
        if not data or len(data) % 2:
            raise InvalidAudio(f"Engine {self._engine} yielded samples that are not numbers.")
        return np.frombuffer(data, "<i2")


def _as_dict(utterance: Utterance) -> dict[str, object]:
    """Not dataclasses.asdict: that copies every value, for a tenth of a millisecond."""
    return dict(zip(_FIELDS, _values_of(utterance), strict=True))


def _error(kind: Kind, payload: memoryview) -> EngineError:
    if kind is not Kind.ERROR:
        return EngineCrashed(f"The engine sent {kind.name} where it may not.")
    said: Mapping[str, Any] = content_of(payload)
    return error_of(said)
