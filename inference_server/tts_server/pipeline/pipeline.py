"""One request, from the door to the last byte: admit, segment, route, cache, speak, encode, account."""

import time
from functools import partial

from tts_server.audio import Encoding, encoder_for
from tts_server.cache import Recording, cache_key
from tts_server.config.schema import ServerConfig
from tts_server.errors import Draining, Overloaded, QuotaExceeded
from tts_server.pipeline.request import HIT, MISS, SHARED, Account, SpeechRequest
from tts_server.pipeline.response import Speech
from tts_server.pipeline.server import Server, quota_key
from tts_server.pipeline.snapshot import Scene
from tts_server.quota.admission import Ticket
from tts_server.quota.duration_estimate import estimated_seconds
from tts_server.quota.limits import Request
from tts_server.routing.voice_selection import Choice, Line, choose, lines, model_for, standby_lines, wished_model
from tts_server.scheduling.fair_queue import Priority, Turn
from tts_server.synthesis.audio_stream import Kept, Sound
from tts_server.synthesis.coalescing import Flight
from tts_server.synthesis.encoded_stream import Alone, Making
from tts_server.synthesis.sample_stream import Cast, Hooks, Speaking
from tts_server.telemetry.tracing import span
from tts_server.text import Segment, passages, segments


async def speak(request: SpeechRequest, server: Server, account: Account) -> Speech:
    """Answer one request. Returns once there is sound; a failure after that cuts the stream.

    Raises whatever refuses it: nothing has been sent then, and nothing is counted.
    """
    scene = _scene(server)
    if server.draining and request.priority is Priority.BATCH:
        raise Draining("This replica is about to end: batch work is taken by the others.")
    server.admission.check_length(len(request.text), param=request.text_param)
    scene.enter()
    ticket, sound = None, None
    try:
        if not request.prepared:
            with span("admit"):
                ticket = await _admitted(server, scene.config, request)
        with span("text"):
            spoken = _lines(request, scene, account)
        sound = await _sound(spoken, request, scene, server, account)
        await sound.first()
    except BaseException:  # a caller that hung up gets its quota back too
        try:
            if sound is not None:
                await sound.leave()
            if ticket is not None:
                await ticket.give_back()
        finally:
            scene.leave()
        raise
    if account.cache != HIT:
        account.first_audio = time.monotonic()
    return Speech(server, scene, request, account, ticket, sound, single=len(spoken) == 1)


def _turn(request: SpeechRequest, config: ServerConfig, begun: float) -> Turn:
    waited_seconds = time.monotonic() - begun  # at the door
    return Turn(
        tenant=request.share.tenant,
        weight=request.share.weight,
        priority=request.priority,
        ages_after_seconds=config.batch_ages_after_seconds,
        max_wait_seconds=max(config.max_wait_seconds - waited_seconds, 0.0),
        due=None if request.due_in_seconds is None else time.monotonic() + request.due_in_seconds,
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


async def _admitted(server: Server, config: ServerConfig, request: SpeechRequest) -> Ticket:
    seconds = estimated_seconds(request.text, request.wish.speed)
    try:
        ticket = await server.admission.admit(quota_key(config), Request(len(request.text), seconds, request.client))
    except QuotaExceeded as error:
        server.metrics.quota_refusals.labels(config.tenant, error.limit).inc()
        raise
    server.note_left(config.tenant, ticket.standing)
    return ticket


async def _sound(spoken: list[Line], request: SpeechRequest, scene: Scene, server: Server, account: Account) -> Sound:
    """From the cache, from a flight of the same sound that others hear, or spoken now. Raises `InvalidParameter`."""
    # What other tenants' entry pools ask for, those keep: here it would lie among this one's own, and use up its room.
    cache = server.cache if request.share.tenant == scene.config.tenant else None
    if cache is None:
        return Alone(*_begun(spoken, request, scene, server, account))
    rates_hz = scene.speakers[spoken[0].model].sample_rate_hz, request.sample_rate_hz
    key = cache_key(scene.config, spoken, request.format, rates_hz)
    with span("cache"):
        recording = None if key in scene.flights else await cache.get(key)
    sound: Sound
    if recording is not None:
        account.cache, sound = HIT, Kept(recording)
    else:
        account.cache = SHARED if key in scene.flights else MISS
        sound = scene.flights.join(
            key,
            lambda: _flight(key, Making(*_begun(spoken, request, scene, server, account)), scene, server),
            request.priority,
        )
    server.metrics.cache_requests_of(account.cache).inc()
    return sound


def _begun(
    spoken: list[Line], request: SpeechRequest, scene: Scene, server: Server, account: Account
) -> tuple[Speaking, Encoding]:
    """From here on it is being spoken."""
    rate_hz = scene.speakers[spoken[0].model].sample_rate_hz
    begin_encoding = partial(encoder_for, request.format, rate_hz, output_rate_hz=request.sample_rate_hz)
    encoder = begin_encoding()
    turn = _turn(request, scene.config, account.begun)
    speaking = Speaking(_cast(scene, spoken), _hooks(server), turn, plays=request.plays)
    return speaking, Encoding(request.format, encoder, begin_encoding, server.threads)


def _flight(key: str, making: Making, scene: Scene, server: Server) -> Flight:
    """What comes to its end is kept under `key` in the cache of then, but for what another model spoke."""

    async def keep(data: bytes, seconds: float) -> None:
        if server.cache is not None and not making.spoken_by:
            await server.cache.put(key, Recording(data, seconds, time.time() + scene.config.cache.ttl_seconds))

    return Flight(making, keep)


def _lines(request: SpeechRequest, scene: Scene, account: Account) -> list[Line]:
    """Who says what, and whose name goes on the account. Raises `RequestError`."""
    model = wished_model(scene.catalogue, request.wish)
    account.model = model.name
    choice = choose(scene.catalogue, request.wish, model)
    account.voice = choice.voice.name if choice.voice is not None else ""
    found = _segments(request, choice, scene)
    spoken = lines(scene.catalogue, choice, request.wish, found)
    account.model, account.voice = spoken[0].model, spoken[0].utterance.voice
    account.precision = spoken[0].utterance.precision
    return spoken


def _segments(request: SpeechRequest, choice: Choice, scene: Scene) -> list[Segment]:
    if request.prepared:
        return [Segment(request.text, request.wish.language)]
    sentences = segments(
        request.text,
        default_language=choice.default_language,
        routed_languages=choice.routed_languages,
        requested_language=request.wish.language,
        param=request.text_param,
    )
    if len(sentences) == 1:
        return sentences
    models = {model_for(scene.catalogue, choice, language) for language in {one.language for one in sentences}}
    return passages(sentences, min(scene.speakers[model].passage_characters for model in models))


def _scene(server: Server) -> Scene:
    if server.scene is None:
        raise Overloaded("The engines are still loading.")
    return server.scene
