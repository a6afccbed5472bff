"""One request, from the door to the last byte: admit, segment, route, speak, encode, account."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from tts_server.admission.admission import Ticket
from tts_server.admission.quota import REQUESTS_PER_MINUTE
from tts_server.audio import Encoder, encoder_for
from tts_server.audio.containers import wav_header
from tts_server.config import ServerConfig
from tts_server.errors import Draining, EngineError, Overloaded
from tts_server.routing import Choice, Line, Wish, choose, lines, standby_lines, wished_model
from tts_server.scheduling.fair_queue import Priority, Turn
from tts_server.server import Scene, Server
from tts_server.speaking import Cast, Hooks, Speaking
from tts_server.text import Segment, segments

SETTLE_SECONDS = 0.1
"""What a reply of one segment may take, after its first sound, to be sent whole, with its length."""
WAV_HEADER_BYTES = 44
CHEAP_FORMATS = frozenset({"wav", "pcm"})
CHEAP_SECONDS = 5.0
"""Of audio in these formats cost less to encode, under 2 ms, than a thread is to wake under load."""


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """What a caller wants, whichever route it came by. Its values have the right types; nothing more is known."""

    text: str
    wish: Wish
    format: str
    sample_rate_hz: int | None = None
    priority: Priority = Priority.INTERACTIVE
    prepared: bool = False
    """One segment, in `wish.language`, counted already: the tenant's entry pool asks."""
    text_param: str = "input"
    """What the route calls the text, for its errors."""


@dataclass(slots=True)
class Account:
    """What a request came to, for metrics and its line in the log; names are configured ones or empty."""

    model: str = ""
    voice: str = ""
    text_characters: int = 0
    begun: float = field(default_factory=time.monotonic)
    first_audio: float | None = None
    first_byte: float | None = None
    audio_seconds: float = 0.0
    spoken_by: str = ""
    """The model that spoke in place of `model`, if one did."""


@dataclass(slots=True)
class Speech:
    """An answer that has begun to sound: `whole()` or `parts()` once, then `close()`, always."""

    server: Server
    scene: Scene
    request: SpeechRequest
    account: Account
    ticket: Ticket | None
    speaking: Speaking
    encoder: Encoder
    single: bool
    """One segment: it is short enough to be sent whole."""

    @property
    def model(self) -> str:
        """Who speaks: the model that was asked for, unless the reply is degraded."""
        return self.account.spoken_by or self.account.model

    @property
    def status(self) -> str:
        """`degraded` where another model speaks than the one that was asked for, else `ok`."""
        return "degraded" if self.speaking.degraded else "ok"

    @property
    def config(self) -> ServerConfig:
        """What the request was served by."""
        return self.scene.config

    def delivered(self) -> None:
        """The first byte leaves, or the link: the request counts from here on."""
        self.account.first_byte = time.monotonic()

    async def is_short(self) -> bool:
        """Whether all of it is spoken already, or will be in a moment: then it is better sent with its length."""
        if self.single and not self.speaking.finished:
            await self.speaking.settle(SETTLE_SECONDS)
        return self.speaking.finished

    async def whole(self) -> bytes:
        """All of it, with true lengths in its header. Raises `EngineError`."""
        while True:
            try:
                data = b"".join([part async for part in self._encoded()])
                break
            except EngineError as error:
                await self._fall_back(error)
        if self.request.format == "wav":
            return wav_header(self.encoder.sample_rate_hz, len(data) - WAV_HEADER_BYTES) + data[WAV_HEADER_BYTES:]
        return data

    async def parts(self) -> AsyncGenerator[bytes]:
        """Encoded audio as it comes; no part is empty. Raises `EngineError` where it broke off."""
        begun = False
        while True:
            try:
                async with aclosing(self._encoded()) as parts:
                    async for part in parts:
                        begun = True
                        yield part
                break
            except EngineError as error:
                if begun:
                    raise
                await self._fall_back(error)

    async def _fall_back(self, error: EngineError) -> None:
        """Begin again with another model's sound: nothing of this one's has left. Raises `error` if nobody is left."""
        if not await self.speaking.fall_back(error):
            raise error
        self.encoder = _encoder(self.request, self.speaking)
        self.account.audio_seconds = 0.0
        self.account.spoken_by = self.speaking.lines[0].model

    async def _encoded(self) -> AsyncGenerator[bytes]:
        rate_hz = self.speaking.sample_rate_hz
        cheap = self.request.format in CHEAP_FORMATS
        while (samples := await self.speaking.take()) is not None:
            self.account.audio_seconds += samples.size / rate_hz
            if cheap and samples.size < CHEAP_SECONDS * rate_hz:
                part = self.encoder.feed(samples)
            else:
                part = await self.server.threads.run(self.encoder.feed, samples)
            if part:
                yield part
        if part := self.encoder.finish() if cheap else await self.server.threads.run(self.encoder.finish):
            yield part

    async def close(self) -> None:
        """Stop what still speaks; give the quota back if nothing was sent."""
        try:
            await self.speaking.stop()
            if self.ticket is not None and self.account.first_byte is None:
                await self.ticket.give_back()
        finally:
            self.scene.leave()


async def speak(request: SpeechRequest, server: Server, account: Account) -> Speech:
    """Answer one request. Returns once there is sound; a failure after that cuts the stream.

    Raises whatever refuses it: nothing has been sent then, and nothing is counted.
    """
    scene = _scene(server)
    if server.draining and request.priority is Priority.BATCH:
        raise Draining("This replica is about to end: batch work is taken by the others.")
    server.admission.check_length(len(request.text), param=request.text_param)
    scene.enter()
    ticket, speaking = None, None
    try:
        if not request.prepared:
            ticket = await _admitted(server, scene.config.tenant)
        spoken = _lines(request, scene, account)
        speaking = Speaking(_cast(scene, spoken), _hooks(server), _turn(request, scene.config))
        encoder = _encoder(request, speaking)
        await speaking.first()
        if speaking.degraded:
            account.spoken_by = speaking.lines[0].model
    except BaseException:  # a caller that hung up gets its quota back too
        try:
            if speaking is not None:
                await speaking.stop()
            if ticket is not None:
                await ticket.give_back()
        finally:
            scene.leave()
        raise
    account.first_audio = time.monotonic()
    return Speech(server, scene, request, account, ticket, speaking, encoder, single=len(spoken) == 1)


def _encoder(request: SpeechRequest, speaking: Speaking) -> Encoder:
    return encoder_for(request.format, speaking.sample_rate_hz, output_rate_hz=request.sample_rate_hz)


def _turn(request: SpeechRequest, config: ServerConfig) -> Turn:
    return Turn(
        tenant=config.tenant,
        priority=request.priority,
        ages_after_seconds=config.batch_ages_after_seconds,
        max_wait_seconds=config.max_wait_seconds,
    )


def _cast(scene: Scene, spoken: list[Line]) -> Cast:
    names = scene.catalogue
    return Cast(spoken, scene.guards, names.standbys, lambda standby: standby_lines(names, standby, spoken))


def _hooks(server: Server) -> Hooks:
    metrics = server.metrics
    return Hooks(
        on_retry=lambda model: metrics.segment_retries.labels(model).inc(),
        on_fallback=lambda model, reason: metrics.fallbacks.labels(model, reason).inc(),
    )


async def _admitted(server: Server, tenant: str) -> Ticket:
    ticket = await server.admission.admit(tenant)
    if ticket.reservation.remaining is not None:
        server.metrics.quota_remaining.labels(tenant, REQUESTS_PER_MINUTE).set(ticket.reservation.remaining)
    return ticket


def _lines(request: SpeechRequest, scene: Scene, account: Account) -> list[Line]:
    """Who says what, and whose name goes on the account. Raises `RequestError`."""
    model = wished_model(scene.catalogue, request.wish)
    account.model = model.name
    choice = choose(scene.catalogue, request.wish, model)
    account.voice = choice.voice.name if choice.voice is not None else ""
    found = _segments(request, choice)
    spoken = lines(scene.catalogue, choice, request.wish, found)
    account.model, account.voice = spoken[0].model, spoken[0].utterance.voice
    return spoken


def _segments(request: SpeechRequest, choice: Choice) -> list[Segment]:
    if request.prepared:
        return [Segment(request.text, request.wish.language)]
    return segments(
        request.text,
        default_language=choice.default_language,
        routed_languages=choice.routed_languages,
        requested_language=request.wish.language,
        param=request.text_param,
    )


def _scene(server: Server) -> Scene:
    if server.scene is None:
        raise Overloaded("The engines are still loading.")
    return server.scene
