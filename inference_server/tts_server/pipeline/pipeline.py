"""One request, from the door to the last byte: admit, segment, route, cache, speak, encode, account."""

import time
from functools import partial

from tts_server.audio import Encoding, encoder_for
from tts_server.cache import CachedReply, cache_key
from tts_server.config.schema import ServerConfig
from tts_server.errors import Draining, Overloaded, QuotaExceeded
from tts_server.pipeline.request import HIT, MISS, SHARED, RequestStats, SpeechRequest
from tts_server.pipeline.response import SpeechResponse
from tts_server.pipeline.server import ServerState, quota_key
from tts_server.pipeline.snapshot import ServingSnapshot
from tts_server.quota.admission import AdmittedRequest
from tts_server.quota.duration_estimate import estimated_seconds
from tts_server.quota.limits import Request
from tts_server.routing.voice_selection import (
    RoutedUtterance,
    RoutingDecision,
    choose,
    lines,
    model_for,
    standby_lines,
    wished_model,
)
from tts_server.scheduling.fair_queue import Priority, SchedulingParams
from tts_server.synthesis.audio_stream import AudioStream, CachedAudio
from tts_server.synthesis.coalescing import CoalescedStream
from tts_server.synthesis.encoded_stream import EncodedStream, UnsharedStream
from tts_server.synthesis.sample_stream import SampleStream, StreamHooks, SynthesisPlan
from tts_server.telemetry.tracing import span
from tts_server.text import Segment, passages, segments


async def speak(request: SpeechRequest, server: ServerState, account: RequestStats) -> SpeechResponse:
    """Answer one request. Returns once there is sound; a failure after that cuts the stream.

    Raises whatever refuses it: nothing has been sent then, and nothing is counted.
    """
    snapshot = _scene(server)
    if server.draining and request.priority is Priority.BATCH:
        raise Draining("This replica is about to end: batch work is taken by the others.")
    server.admission.check_length(len(request.text), param=request.text_param)
    snapshot.enter()
    admitted, sound = None, None
    try:
        if not request.prepared:
            with span("admit"):
                admitted = await _admitted(server, snapshot.config, request)
        with span("text"):
            spoken = _lines(request, snapshot, account)
        sound = await _sound(spoken, request, snapshot, server, account)
        await sound.first()
    except BaseException:  # a caller that hung up gets its quota back too
        try:
            if sound is not None:
                await sound.leave()
            if admitted is not None:
                await admitted.give_back()
        finally:
            snapshot.leave()
        raise
    if account.cache != HIT:
        account.first_audio = time.monotonic()
    return SpeechResponse(server, snapshot, request, account, admitted, sound, single=len(spoken) == 1)


def _turn(request: SpeechRequest, config: ServerConfig, begun: float) -> SchedulingParams:
    waited_seconds = time.monotonic() - begun  # at the door
    return SchedulingParams(
        tenant=request.share.tenant,
        weight=request.share.weight,
        priority=request.priority,
        ages_after_seconds=config.batch_ages_after_seconds,
        max_wait_seconds=max(config.max_wait_seconds - waited_seconds, 0.0),
        due=None if request.due_in_seconds is None else time.monotonic() + request.due_in_seconds,
    )


def _cast(snapshot: ServingSnapshot, spoken: list[RoutedUtterance]) -> SynthesisPlan:
    names = snapshot.catalogue
    return SynthesisPlan(
        spoken, snapshot.guards, names.fallbacks, lambda standby: standby_lines(names, standby, spoken)
    )


def _hooks(server: ServerState) -> StreamHooks:
    metrics = server.metrics
    return StreamHooks(
        on_retry=lambda model: metrics.segment_retries.labels(model).inc(),
        on_fallback=lambda model, reason: metrics.fallbacks.labels(model, reason).inc(),
    )


async def _admitted(server: ServerState, config: ServerConfig, request: SpeechRequest) -> AdmittedRequest:
    seconds = estimated_seconds(request.text, request.wish.speed)
    try:
        admitted = await server.admission.admit(quota_key(config), Request(len(request.text), seconds, request.client))
    except QuotaExceeded as error:
        server.metrics.quota_refusals.labels(config.tenant, error.limit).inc()
        raise
    server.set_remaining(config.tenant, admitted.limit_status)
    return admitted


async def _sound(
    spoken: list[RoutedUtterance],
    request: SpeechRequest,
    snapshot: ServingSnapshot,
    server: ServerState,
    account: RequestStats,
) -> AudioStream:
    """From the cache, from a flight of the same sound that others hear, or spoken now. Raises `InvalidParameter`."""
    # What other tenants' entry pools ask for, those keep: here it would lie among this one's own, and use up its room.
    cache = server.cache if request.share.tenant == snapshot.config.tenant else None
    if cache is None:
        return UnsharedStream(*_begun(spoken, request, snapshot, server, account))
    rates_hz = snapshot.engine_clients[spoken[0].model].sample_rate_hz, request.sample_rate_hz
    key = cache_key(snapshot.config, spoken, request.format, rates_hz)
    with span("cache"):
        recording = None if key in snapshot.coalescer else await cache.get(key)
    sound: AudioStream
    if recording is not None:
        account.cache, sound = HIT, CachedAudio(recording)
    else:
        account.cache = SHARED if key in snapshot.coalescer else MISS
        sound = snapshot.coalescer.join(
            key,
            lambda: _flight(key, EncodedStream(*_begun(spoken, request, snapshot, server, account)), snapshot, server),
            request.priority,
        )
    server.metrics.cache_requests_of(account.cache).inc()
    return sound


def _begun(
    spoken: list[RoutedUtterance],
    request: SpeechRequest,
    snapshot: ServingSnapshot,
    server: ServerState,
    account: RequestStats,
) -> tuple[SampleStream, Encoding]:
    """From here on it is being spoken."""
    rate_hz = snapshot.engine_clients[spoken[0].model].sample_rate_hz
    begin_encoding = partial(encoder_for, request.format, rate_hz, output_rate_hz=request.sample_rate_hz)
    encoder = begin_encoding()
    turn = _turn(request, snapshot.config, account.begun)
    speaking = SampleStream(_cast(snapshot, spoken), _hooks(server), turn, plays=request.plays)
    return speaking, Encoding(request.format, encoder, begin_encoding, server.threads)


def _flight(key: str, making: EncodedStream, snapshot: ServingSnapshot, server: ServerState) -> CoalescedStream:
    """What comes to its end is kept under `key` in the cache of then, but for what another model spoke."""

    async def keep(data: bytes, seconds: float) -> None:
        if server.cache is not None and not making.spoken_by:
            await server.cache.put(key, CachedReply(data, seconds, time.time() + snapshot.config.cache.ttl_seconds))

    return CoalescedStream(making, keep)


def _lines(request: SpeechRequest, snapshot: ServingSnapshot, account: RequestStats) -> list[RoutedUtterance]:
    """Who says what, and whose name goes on the account. Raises `RequestError`."""
    model = wished_model(snapshot.catalogue, request.wish)
    account.model = model.name
    choice = choose(snapshot.catalogue, request.wish, model)
    account.voice = choice.voice.name if choice.voice is not None else ""
    found = _segments(request, choice, snapshot)
    spoken = lines(snapshot.catalogue, choice, request.wish, found)
    account.model, account.voice = spoken[0].model, spoken[0].utterance.voice
    account.precision = spoken[0].utterance.precision
    return spoken


def _segments(request: SpeechRequest, choice: RoutingDecision, snapshot: ServingSnapshot) -> list[Segment]:
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
    models = {model_for(snapshot.catalogue, choice, language) for language in {one.language for one in sentences}}
    return passages(sentences, min(snapshot.engine_clients[model].passage_characters for model in models))


def _scene(server: ServerState) -> ServingSnapshot:
    if server.snapshot is None:
        raise Overloaded("The engines are still loading.")
    return server.snapshot
