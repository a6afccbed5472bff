"""One worker, from the parent's side: start it, have it synthesize, stop it, kill it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any

from tts_server.errors import EngineCrashed, EngineError, EngineNotReady, EngineTimeout
from tts_server.inference.client import Samples, Utterance, VoiceFeatures, Voices
from tts_server.inference.pool.replies import MemberReply, WorkerReplies, error_in
from tts_server.inference.pool.template import WorkerTemplate
from tts_server.inference.pool.worker_process import WorkerCommand, WorkerProcess
from tts_server.inference.wire.frames import AUDIO_KINDS, Frame, Kind, json_content, json_frame
from tts_server.scheduling.batching import BatchCost

CANCEL_SECONDS = 2.0
"""How long an engine may take to stop after a cancellation before its worker is killed."""
GRAMMAR_SECONDS = 20.0
"""How long a worker may take to load what writes numbers in words, once in its life: a busy node is slow at that."""
_FIELDS = Utterance.__slots__
_values_of = attrgetter(*_FIELDS)


class WorkerClient:
    """A worker and its requests: one utterance at a time and perhaps the next, or one batch.

    An engine that can batch is measured at `batch_size`, unless that is below 2. `on_unread` is called with the reason
    of each part of a text whose numbers could not be written in words. `template` forks the worker's process.
    """

    def __init__(
        self,
        command: WorkerCommand,
        batch_size: int = 0,
        on_unread: Callable[[str], None] = lambda _: None,
        template: WorkerTemplate | None = None,
    ) -> None:
        self.sample_rate_hz = 0
        self.voices: Voices = {}
        self.voice_features = VoiceFeatures()
        self.passage_characters = 0
        self.real_time_factor = 0.0
        """Seconds per second of audio when it warmed up; 0 if that is not known."""
        self.pause_scales: Mapping[float, float] = {}
        self.batch_cost: BatchCost | None = None
        """The measured cost of a batch; None if the engine was not measured."""
        self.voice_groups: Mapping[str, str] = {}
        """Voice groups of an engine that can batch, see `BatchingEngine`."""
        self._command = command
        self._engine = command.engine
        self._batch_size = batch_size
        self._on_unread = on_unread
        self._template = template
        self._process: WorkerProcess | None = None
        self._replies: WorkerReplies | None = None
        self._sent = 0
        """Number of utterances sent to the worker; they are numbered from 1."""
        self._numbers = range(0)
        """Numbers of the utterances that it synthesizes, or synthesized last."""
        self._next_number: int | None = None
        """Number of the utterance that was sent ahead, if any."""
        self._pending = False
        """Whether a DONE or an ERROR is still to come."""

    @property
    def pid(self) -> int | None:
        """Process ID; None before the start."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs: false once it has ended, even before the event loop notices."""
        return self._process is not None and self._process.alive

    @property
    def at_rest(self) -> bool:
        """Whether the last utterance has ended; a worker that is not at rest must `settle` before its next one."""
        return not self._pending

    async def start(self, timeout_seconds: float) -> None:
        """Load and warm up. Raises `EngineError` for every failure, the system's too; no process is left then."""
        try:
            async with asyncio.timeout(timeout_seconds):
                self._process = await WorkerProcess.spawn(self._command, self._batch_size, self._template)
                self._replies = WorkerReplies(self._engine, self._process)
                self._take_features(await self._replies.receive())
        except TimeoutError:
            await self.kill()
            raise EngineTimeout(f"Engine {self._engine} did not load in {timeout_seconds:g} s.") from None
        except (EngineError, asyncio.CancelledError):
            await self.kill()
            raise
        except Exception as error:  # the system has no process, descriptor or memory left, or READY is not as expected
            await self.kill()
            reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
            raise EngineNotReady(f"A process of engine {self._engine} cannot be started: {reason}.") from error

    async def begin(self, utterance: Utterance) -> None:
        """Begin an utterance, to be read by `next_part`. A reader that stops before its end must call `settle`."""
        await self._request(json_frame(Kind.SPEAK, _as_dict(utterance)), 1)

    def enqueue_next(self, utterance: Utterance) -> None:
        """Send the next request while the worker still computes, so that it need not wait. See `start_next`."""
        self._sent += 1
        self._next_number = self._sent
        if self._process is not None:
            with suppress(ConnectionError):  # it has ended; the reader of the current utterance notices
                self._process.write(json_frame(Kind.SPEAK, _as_dict(utterance)))

    def cancel_next(self) -> None:
        """Cancel the request that was sent ahead; it must still be started and settled."""
        if self._next_number is not None:
            self._cancel(self._next_number)

    def start_next(self) -> None:
        """Make the request that was sent ahead the current one, as after `begin`. Only when at rest."""
        assert self._next_number is not None  # noqa: S101 - `enqueue_next` was called
        self._numbers = range(self._next_number, self._next_number + 1)
        self._next_number = None
        self._pending = True

    async def next_part(self, timeout_seconds: float) -> Samples | None:
        """Return the next samples of the current utterance, None after the last. Raises as `EngineClient.speak`."""
        replies = self._running()
        frame = await replies.receive_within(timeout_seconds)
        while frame[0] is Kind.UNREAD:
            loads = not self._count_unread(frame[1])
            frame = await replies.receive_within(max(timeout_seconds, GRAMMAR_SECONDS) if loads else timeout_seconds)
        if frame[0] in AUDIO_KINDS:
            return await replies.samples(frame)
        self._pending = False
        if frame[0] is Kind.DONE:
            return None
        raise error_in(*frame)

    async def speak_batch(self, utterances: Sequence[Utterance], timeout_seconds: float) -> AsyncGenerator[MemberReply]:
        """Yield the replies to a batch. The timeout applies to every wait for any of its audio.

        After an early end (`aclose`, a timeout) call `settle`.
        """
        wanted = {"utterances": [_as_dict(utterance) for utterance in utterances]}
        await self._request(json_frame(Kind.BATCH, wanted), len(utterances))
        loads = False
        while True:
            replies = self._running()
            wait_seconds = max(timeout_seconds, GRAMMAR_SECONDS) if loads else timeout_seconds
            kind, payload = await replies.receive_within(wait_seconds)
            loads = False
            if kind is Kind.UNREAD:
                loads = not self._count_unread(payload)
                continue
            if kind is Kind.MEMBER:
                yield await replies.member(payload, len(self._numbers))
                continue
            self._pending = False
            if kind is Kind.DONE:
                return
            raise error_in(kind, payload)

    def cancel_member(self, member: int) -> None:
        """Cancel one utterance of the running batch."""
        self._cancel(self._numbers[member])

    async def settle(self) -> bool:
        """Cancel what is left of the current utterance and read to its end.

        Returns whether the worker is free: false if it had to be killed, or is dead.
        """
        if not self._pending or self._replies is None:
            return self.alive
        try:
            for number in self._numbers:
                self._cancel(number)
            async with asyncio.timeout(CANCEL_SECONDS):
                while (await self._replies.receive())[0] in AUDIO_KINDS | {Kind.MEMBER, Kind.UNREAD}:
                    pass
        except (EngineError, TimeoutError):
            await self.kill()
            return False
        self._pending = False
        return True

    def resident_bytes(self) -> int:
        """Return its resident memory; 0 if the system does not report it."""
        return 0 if self._process is None else self._process.resident_bytes()

    async def stop(self) -> None:
        """Close its stdin, which ends it; kill it after two seconds."""
        if self._process is not None:
            await self._process.stop(CANCEL_SECONDS)

    async def kill(self) -> None:
        """Kill it with all processes that it has started, and wait for its end. Safe to call twice."""
        if self._process is not None:
            await self._process.kill()

    def _count_unread(self, payload: memoryview) -> int:
        """Report the reasons of an UNREAD frame. Returns their number: 0 while the worker loads a grammar."""
        content: Mapping[str, Any] = json_content(payload)
        reasons = list(content["reasons"])
        for reason in reasons:
            self._on_unread(str(reason))
        return len(reasons)

    def _take_features(self, frame: Frame) -> None:
        """Take what the worker's READY frame says of its engine. Raises what an ERROR frame holds."""
        kind, payload = frame
        if kind is not Kind.READY:
            raise error_in(kind, payload)
        ready: Mapping[str, Any] = json_content(payload)
        self.sample_rate_hz = int(ready["sample_rate_hz"])
        self.voices = {name: tuple(languages) for name, languages in ready["voices"].items()}
        self.voice_features = VoiceFeatures(ready.get("voice_genders", {}), bool(ready.get("blends_voices", False)))
        self.passage_characters = int(ready.get("passage_characters", 0))
        self.real_time_factor = float(ready.get("real_time_factor", 0.0))
        self.pause_scales = dict(ready.get("pause_scales", ()))
        self.voice_groups = ready.get("voice_groups", {})
        self.batch_cost = BatchCost(**ready["batch"]) if ready.get("batch") else None

    def _running(self) -> WorkerReplies:
        if self._replies is None:
            raise EngineCrashed(f"Engine {self._engine} is not running.")
        return self._replies

    async def _request(self, frame: bytes, utterances: int) -> None:
        """Send a frame that asks for so many utterances."""
        replies, process = self._running(), self._process
        assert process is not None  # noqa: S101 - its replies are read
        process.stderr_may_contain_text = True
        self._numbers = range(self._sent + 1, self._sent + 1 + utterances)
        self._sent += utterances
        self._pending = True
        try:
            process.write(frame)
        except ConnectionError as error:
            raise await replies.crashed() from error

    def _cancel(self, number: int) -> None:
        if self._process is not None:
            self._process.cancel(number)


def _as_dict(utterance: Utterance) -> dict[str, object]:
    # Not dataclasses.asdict: that copies every value, for a tenth of a millisecond.
    return dict(zip(_FIELDS, _values_of(utterance), strict=True))
