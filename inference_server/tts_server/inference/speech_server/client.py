"""Engine client of a model that another speech server speaks: streamed, cancelled, queued and retried."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np
import structlog
from pydantic import JsonValue

from tts_server.engines.protocol import VoiceFeatures, Voices
from tts_server.errors import EngineCrashed, InvalidAudio, TTSError
from tts_server.inference.client import Utterance
from tts_server.inference.output_check import OutputCheck
from tts_server.inference.speech_server.audio import AudioReader
from tts_server.inference.speech_server.concurrency_limit import ConcurrencyLimit
from tts_server.inference.speech_server.exchange import AnswerPart, Exchange, SpeechCall
from tts_server.inference.speech_server.faults import CANCELLED, OK, ServerFault
from tts_server.inference.speech_server.time_stretch import TimeStretch
from tts_server.samples import Samples
from tts_server.scheduling.fair_queue import Priority, SchedulingParams

log = structlog.get_logger(__name__)

DEFAULT_PARAMS = SchedulingParams()
WORDLESS_SECONDS = 0.1
"""Silence that stands for a text without letters and digits, which a server may refuse, or make no audio of."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a model's utterances become requests to a speech server, and how long they may take."""

    model: str
    """Name of the model in this server's configuration, for errors and logs."""
    upstream_model: str = ""
    """Name of the model at the speech server; empty: the same."""
    voices: Mapping[str, str] = field(default_factory=dict)
    """The server's voices by the model's own."""
    response_format: str = "wav"
    sample_rate_hz: int = 24_000
    speeds: tuple[float, float] = (0.25, 4.0)
    """The range of speeds that the server is asked for; what is beyond it is done here."""
    fields: Mapping[str, JsonValue] = field(default_factory=dict)
    first_audio_timeout_seconds: float = 3.0
    silence_timeout_seconds: float = 10.0
    max_concurrent_requests: int | None = None
    retries: int = 1


@dataclass(frozen=True, slots=True)
class ServerHooks:
    """Callbacks for metrics."""

    on_outcome: Callable[[str], None] = lambda _: None
    """Called once for each request with a key of FAULTS, `ok` or `cancelled`."""
    on_wait: Callable[[str, float], None] = lambda _, __: None
    """Called with a tenant and the seconds that one of its utterances was queued."""
    on_depth: Callable[[str, int], None] = lambda _, __: None
    """Called with a tenant and the number of its queued utterances."""


class SpeechServerClient:
    """`EngineClient` over an `Exchange`.

    The server's readiness does not count here: while it is unreachable, the tenant's other models serve, and requests
    for this one fail or are spoken by its fallback.
    """

    voices: Voices = {}
    voice_features = VoiceFeatures()
    passage_characters = 0
    real_time_factor = 0.0
    pause_scales: Mapping[float, float] = {}

    def __init__(self, exchange: Exchange, options: ServerOptions, hooks: ServerHooks | None = None) -> None:
        hooks = hooks or ServerHooks()
        self.sample_rate_hz = options.sample_rate_hz
        self.ready = False
        self._exchange = exchange
        self._options = options
        self._hooks = hooks
        self._limit = ConcurrencyLimit(
            options.model, options.max_concurrent_requests, on_wait=hooks.on_wait, on_depth=hooks.on_depth
        )
        self._busy_until = 0.0
        """Time, on `time.monotonic()`, until which the server has asked not to be called."""
        self._rates_told: set[int] = set()

    async def start(self) -> None:
        # No connection yet: the server may start later than this one.
        try:
            await self._exchange.open()
        except OSError as error:
            raise EngineCrashed(f"The CA certificates of model {self._options.model} cannot be read.") from error
        self.ready = True

    async def stop(self) -> None:
        self.ready = False
        self._limit.refuse(self._stopped())
        await self._exchange.close()

    def promote(self, reply: object) -> None:
        self._limit.promote(reply)

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        self._limit.refuse(error, priority)

    async def speak(self, utterance: Utterance, params: SchedulingParams = DEFAULT_PARAMS) -> AsyncGenerator[Samples]:
        if not self.ready:
            raise self._stopped()
        async with self._limit.slot(params, float(max(len(utterance.text), 1))):
            outcome = CANCELLED
            try:
                async with aclosing(self._attempts(utterance)) as parts:
                    async for part in parts:
                        yield part
                outcome = OK
            except ServerFault as fault:
                outcome = fault.word
                raise self._error(fault) from fault
            except InvalidAudio:
                outcome = "too_long"
                raise self._error(ServerFault(outcome)) from None
            finally:
                self._hooks.on_outcome(outcome)

    async def _attempts(self, utterance: Utterance) -> AsyncGenerator[Samples]:
        """Speak, again if the connection fails before the answer begins. Raises `ServerFault` and `InvalidAudio`."""
        if (wait := self._busy_until - time.monotonic()) > 0:
            raise ServerFault("unavailable", retry_after_seconds=wait)
        for attempt in range(self._options.retries + 1):
            try:
                async with aclosing(self._attempt(utterance)) as parts:
                    async for part in parts:
                        yield part
            except ServerFault as fault:
                if fault.word in {"empty", "text_refused"} and not any(map(str.isalnum, utterance.text)):
                    yield np.zeros(round(WORDLESS_SECONDS * self.sample_rate_hz), np.int16)
                    return
                if fault.began or attempt == self._options.retries or fault.word not in {"cut", "unreachable"}:
                    if not self.ready:
                        raise self._stopped() from fault
                    raise
            else:
                return

    async def _attempt(self, utterance: Utterance) -> AsyncGenerator[Samples]:
        options = self._options
        reader: AudioReader | None = None
        check = OutputCheck(utterance, self.sample_rate_hz)
        call = self._call(utterance)
        stretch = TimeStretch(self.sample_rate_hz, utterance.speed / call.speed)
        heard = False
        async with aclosing(self._exchange.call(call)) as answer:
            deadline = time.monotonic() + options.first_audio_timeout_seconds
            while True:
                limit = options.silence_timeout_seconds if heard else deadline - time.monotonic()
                part = await self._next(answer, limit, heard=heard)
                if part is None:
                    break
                if reader is None:
                    reader = AudioReader(options.response_format, self.sample_rate_hz, part.content_type)
                samples = stretch.feed(reader.feed(part.data))
                if samples.size:
                    heard = True
                    if (passed := check.passed(samples)) is not None:
                        yield passed
        assert reader is not None  # noqa: S101 - an answer has a first part
        samples = np.concatenate([stretch.feed(reader.finish()), stretch.finish()])
        self._tell_rate(reader)
        if samples.size:
            heard = True
            if (passed := check.passed(samples)) is not None:
                yield passed
        if not heard:
            raise ServerFault("empty", began=True)
        if (silence := check.held()).size:  # a text in a script that the voice does not know
            yield silence

    async def _next(
        self, answer: AsyncGenerator[AnswerPart], limit_seconds: float, *, heard: bool
    ) -> AnswerPart | None:
        """The next part of the answer; None at its end."""
        try:
            async with asyncio.timeout(max(limit_seconds, 0.0)):
                return await anext(answer, None)
        except TimeoutError:
            raise ServerFault("stalled" if heard else "first_audio_timeout", began=True) from None

    def _call(self, utterance: Utterance) -> SpeechCall:
        options = self._options
        return SpeechCall(
            text=utterance.text,
            model=options.upstream_model or options.model,
            voice=options.voices.get(utterance.voice, utterance.voice),
            speed=min(max(utterance.speed, options.speeds[0]), options.speeds[1]),
            response_format=options.response_format,
            sample_rate_hz=options.sample_rate_hz,
            fields=dict(options.fields),
        )

    def _error(self, fault: ServerFault) -> TTSError:
        error = fault.error(self._options.model)
        if fault.word in {"too_many_requests", "unavailable"} and fault.status:
            self._busy_until = time.monotonic() + fault.retry_after_seconds
        log.warning("speech server failed", model=self._options.model, reason=fault.word, status=fault.status or None)
        return error

    def _tell_rate(self, reader: AudioReader) -> None:
        """Log once that the server's audio has another rate than the configuration says."""
        rate_hz = reader.found_rate_hz
        if rate_hz != self.sample_rate_hz and rate_hz not in self._rates_told:
            self._rates_told.add(rate_hz)
            log.warning(
                "speech server's audio is resampled: its sample rate is not the configured one",
                model=self._options.model, configured_hz=self.sample_rate_hz, sample_rate_hz=rate_hz,
            )  # fmt: skip

    def _stopped(self) -> EngineCrashed:
        return EngineCrashed(f"The speech server of model {self._options.model} is no longer in use.")
