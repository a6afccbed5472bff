"""Synthesizes the utterances of one reply in order, ahead of the client that plays them.

speak(utterance 1) pause speak(utterance 2) ...   ->   SampleBuffer   ->   read() by EncodedStream

Where a reply has several voices, the later ones get the loudness of the first.

The next utterance is due shortly before the client has played what is synthesized; queues order by that. A slow reader
stops the synthesis between two utterances, never inside one, so that no worker is held up. An utterance is synthesized
a second time if its engine fails before any of its samples were read, after other utterances were; samples that were
read are never repeated, so a later failure ends the reply.

As long as nothing has been sent, a fallback model may replace one that fails. It synthesizes the whole reply from the
beginning, so that a reply has one voice.
"""

import asyncio
from contextlib import aclosing
from dataclasses import replace

from tts_server.audio import Resampler
from tts_server.errors import EngineError, EngineGivenUp
from tts_server.routing.fallback import choose_fallback
from tts_server.routing.voice_selection import RoutedUtterance
from tts_server.samples import Samples
from tts_server.scheduling.fair_queue import Priority, SchedulingParams
from tts_server.synthesis.joins import Join, pause_scale
from tts_server.synthesis.loudness import LoudnessMatch, MatchedAudio
from tts_server.synthesis.plan import StreamHooks, SynthesisPlan
from tts_server.synthesis.sample_buffer import SampleBuffer
from tts_server.telemetry.tracing import Span, span

SPARE_SECONDS = 1.0
"""How long before the client has played everything the next utterance is due."""


class SampleStream:
    """Samples of a reply, all at the rate of the requested model. Begins at once; always call `stop`.

    `streaming` is whether the client plays the audio while it arrives. Methods raise `EngineError` if no model is left
    to try.
    """

    def __init__(
        self, plan: SynthesisPlan, hooks: StreamHooks, params: SchedulingParams, *, streaming: bool = True
    ) -> None:
        self._plan = plan
        self._reply = object()
        """Identifies the utterances of this reply in queues."""
        self._params = replace(params, reply=self._reply) if params.priority is Priority.BATCH else params
        self._hooks = hooks
        self._streaming = streaming
        self._failed: set[str] = set()
        self._utterances = plan.utterances
        self.fallback_model = ""
        """The model that synthesizes instead of the routed ones; empty while none does."""
        self.fallback_reason = ""
        """Code of the error because of which it does; empty while none does."""
        self._model = plan.utterances[0].model
        """The model of the utterance that is being synthesized."""
        self.sample_rate_hz = plan.guards[self._model].engine_client.sample_rate_hz
        self._select_model(EngineGivenUp.code)
        self._task: asyncio.Task[None] | None = None
        """Synthesizes; None after `stop`."""
        self._begin()

    @property
    def complete(self) -> bool:
        """Whether all samples are synthesized, read or not."""
        return self._task is None or self._task.done()

    @property
    def exhausted(self) -> bool:
        """Whether all samples are synthesized and read."""
        return self.complete and not self._buffer

    async def start(self) -> None:
        """Return once there are samples, of a fallback model if need be. Raises the last model's error."""
        try:
            await self._first_samples()
        except EngineError as error:
            if not await self.fall_back(error):
                raise

    async def read(self) -> Samples | None:
        """Return all buffered samples, at least one; None at the end. Raises `EngineError` after the last samples."""
        while not self._buffer:
            if self._has_ended():
                return None
            await self._buffer.wait_for_change()
        return self._buffer.read()

    async def fall_back(self, error: EngineError) -> bool:
        """Start the reply again with a fallback model after `error`; False if no model is left.

        Samples that were read are void: only for a reply of which nothing has been sent.
        """
        await self.stop()
        self._failed.add(self._model)
        if not self._select_model(error.code):
            return False
        self._begin()
        await self.start()
        return True

    def promote(self) -> None:
        """Make a reply of priority batch interactive: an interactive request has joined it.

        Utterances that were already sent to another pool keep their place in that pool's queue.
        """
        if self._params.priority is Priority.BATCH:
            self._params = replace(self._params, priority=Priority.INTERACTIVE)
            for guard in self._plan.guards.values():
                guard.engine_client.promote(self._reply)

    async def wait_complete(self, timeout_seconds: float) -> None:
        """Return once all samples are synthesized, or after the timeout."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=timeout_seconds)

    async def stop(self) -> None:
        """Cancel the synthesis. Safe to call at any time."""
        # See `CoalescedStream.unsubscribe`: a stream that led to the exception of its task would outlive its reply.
        task, self._task = self._task, None
        if task is None:
            return
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would report it

    def _begin(self) -> None:
        buffer = self._buffer = SampleBuffer(self.sample_rate_hz)
        voices = {(routed.model, routed.utterance.voice) for routed in self._utterances}
        self._loudness = LoudnessMatch() if len(voices) > 1 else None
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: buffer.wake_reader())

    def _has_ended(self) -> bool:
        """Whether no more samples will come. Raises what ended the synthesis too early."""
        if self._task is None:
            raise EngineError("Synthesis was cancelled.")
        if not self._task.done():
            return False
        self._task.result()
        return True

    def _select_model(self, reason: str) -> bool:
        """Select the routed models or the next fallback; False if none is left."""
        plan = self._plan
        needed = [routed.model for routed in plan.utterances]
        decision = choose_fallback(needed, plan.fallbacks, self._failed, lambda model: plan.guards[model].allows)
        if decision is None:
            return False
        self._despite_breaker = decision.despite_breaker
        if decision.fallback is not None and decision.replaced is not None:
            self._utterances = plan.reroute(decision.fallback)
            self.fallback_model, self.fallback_reason = decision.fallback.model, reason
            self._hooks.on_fallback(decision.replaced, reason)
        return True

    async def _first_samples(self) -> None:
        while not self._buffer:
            if self._has_ended():
                raise EngineError("The engine produced no audio.")
            await self._buffer.wait_for_change()

    async def _run(self) -> None:
        before: tuple[RoutedUtterance, Join] | None = None
        for number, routed in enumerate(self._utterances):
            await self._buffer.wait_for_room()
            self._model = routed.model
            self._buffer.begin_utterance()
            # A reply that has begun stays with its engine, whatever the breaker and the queue's length are by then.
            params = replace(self._params, max_wait_seconds=None, due=self._due()) if number else self._params
            join = self._join(before)
            try:
                await self._synthesize(routed, params, join, despite_breaker=self._despite_breaker or number > 0)
            except EngineError:
                if number == 0 or self._buffer.utterance_was_read:
                    raise
                self._buffer.drop_utterance()
                self._hooks.on_retry(routed.model)
                join = self._join(before)
                await self._synthesize(routed, params, join, despite_breaker=True)
            before = routed, join

    def _join(self, before: tuple[RoutedUtterance, Join] | None) -> Join:
        """Return the join of an utterance to the one `before` it, with the pause that the latter calls for."""
        if before is None:
            return Join(None, 0)
        routed, audio = before
        scales = self._plan.guards[routed.model].engine_client.pause_scales
        pause_seconds = routed.pause_seconds * pause_scale(routed.utterance.speed, scales)
        return Join(audio.end, round(pause_seconds * self.sample_rate_hz))

    async def _synthesize(
        self, routed: RoutedUtterance, params: SchedulingParams, join: Join, *, despite_breaker: bool
    ) -> None:
        with span("speak", current=True) as utterance_span:
            utterance_span.set_attribute("tts.model", routed.model)
            utterance_span.set_attribute("tts.voice", routed.utterance.voice)
            utterance_span.set_attribute("tts.text_characters", len(routed.utterance.text))
            with self._plan.guards[routed.model].attempt(despite_breaker=despite_breaker):
                await self._copy_samples(routed, params, join, utterance_span)

    async def _copy_samples(
        self, routed: RoutedUtterance, params: SchedulingParams, join: Join, utterance_span: Span
    ) -> None:
        engine_client, buffer = self._plan.guards[routed.model].engine_client, self._buffer
        resampler = None
        if engine_client.sample_rate_hz != self.sample_rate_hz:
            resampler = Resampler(engine_client.sample_rate_hz, self.sample_rate_hz)
        matched = self._matched(routed)
        async with aclosing(engine_client.speak(routed.utterance, params)) as parts:
            async for part in parts:
                if buffer.utterance_is_silent:
                    utterance_span.add_event("first audio")
                samples = part if resampler is None else resampler.feed(part)
                buffer.write(join.feed(samples if matched is None else matched.feed(samples)))
        if resampler is not None:
            rest = resampler.finish()
            buffer.write(join.feed(rest if matched is None else matched.feed(rest)))
        if matched is not None:
            buffer.write(join.feed(matched.finish()))

    def _matched(self, routed: RoutedUtterance) -> MatchedAudio | None:
        if self._loudness is None:
            return None
        meters = self._plan.guards[routed.model].loudness
        return self._loudness.begin(meters.of(routed.utterance.voice, self.sample_rate_hz))

    def _due(self) -> float | None:
        """When the next utterance is needed, on `time.monotonic()`; None: at once."""
        end = self._buffer.playback_end
        return end - SPARE_SECONDS if end is not None and self._streaming else None
