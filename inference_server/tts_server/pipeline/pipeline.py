"""Serves one request: admit, prepare the text, route, look up the cache, synthesize."""

import asyncio
import time
from dataclasses import dataclass
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
from tts_server.quota.limits import Request
from tts_server.routing.catalogue import Model
from tts_server.routing.short_utterances import short_utterances
from tts_server.routing.voice_selection import (
    RoutedUtterance,
    RoutingDecision,
    model_for,
    requested_model,
    reroute,
    route,
    select_voice,
)
from tts_server.scheduling.fair_queue import Priority, SchedulingParams
from tts_server.synthesis.audio_stream import AudioStream, CachedAudio
from tts_server.synthesis.coalesced_stream import CoalescedStream
from tts_server.synthesis.encoded_stream import EncodedStream
from tts_server.synthesis.plan import StreamHooks, SynthesisPlan
from tts_server.synthesis.sample_stream import SampleStream
from tts_server.telemetry.tracing import span
from tts_server.text import Segment, passages, segments
from tts_server.text.duration_estimate import estimated_seconds
from tts_server.text.language_detection import FEWEST_LETTERS, SAMPLE_CHARACTERS, needs_statistics

BLEND = "blend"
"""Label of every blend of voices in metrics and logs."""


async def synthesize(request: SpeechRequest, server: ServerState, stats: RequestStats) -> SpeechResponse:
    """Answer one request. Returns once there is audio; a later failure cuts the stream.

    Raises a `TTSError` that refuses the request: nothing was sent then, and nothing is counted.
    """
    if (snapshot := server.snapshot) is None:
        raise Overloaded("The engines are still loading.")
    if server.draining and request.priority is Priority.BATCH:
        raise Draining("This replica is shutting down. Retry: another replica accepts batch requests.")
    server.admission.check_length(len(request.text), param=request.text_param)
    snapshot.enter()
    admitted, stream = None, None
    try:
        if not request.prepared:
            with span("admit"):
                admitted = await _admit(server, snapshot.config, request)
        with span("text"):
            utterances = await _route(request, server, snapshot, stats)
        stream = await _open_stream(_Job(utterances, request, snapshot, server, stats))
        await stream.start()
    except BaseException:  # a client that disconnected gets its quota back too
        try:
            if stream is not None:
                await stream.close()
            if admitted is not None:
                await admitted.give_back()
        finally:
            snapshot.leave()
        raise
    if stats.cache != HIT:
        stats.first_audio = time.monotonic()
    return SpeechResponse(server, snapshot, request, stats, admitted, stream, utterances)


async def _admit(server: ServerState, config: ServerConfig, request: SpeechRequest) -> AdmittedRequest:
    seconds = estimated_seconds(request.text, request.selector.speed)
    try:
        admitted = await server.admission.admit(quota_key(config), Request(len(request.text), seconds, request.client))
    except QuotaExceeded as error:
        server.metrics.quota_refusals.labels(config.tenant, error.limit).inc()
        raise
    server.set_remaining(config.tenant, admitted.limit_status)
    return admitted


async def _route(
    request: SpeechRequest, server: ServerState, snapshot: ServingSnapshot, stats: RequestStats
) -> list[RoutedUtterance]:
    """Return the utterances of the reply, and note model and voice for metrics. Raises `RequestError`."""
    model = requested_model(snapshot.catalogue, request.selector)
    stats.model = model.name
    decision = select_voice(snapshot.catalogue, request.selector, model)
    stats.voice = _label(model, decision.voice.name) if decision.voice is not None else ""
    sentences = await _segments(request, server, decision, snapshot)
    utterances = route(snapshot.catalogue, decision, request.selector, sentences)
    stats.model = utterances[0].model
    stats.voice = _label(snapshot.catalogue.models[stats.model], utterances[0].utterance.voice)
    stats.precision = utterances[0].utterance.precision
    return utterances


def _label(model: Model, voice: str) -> str:
    """Return the voice as metrics and logs name it: callers write blends, so that there is no end of their names."""
    return voice if voice in model.voices else BLEND


async def _segments(
    request: SpeechRequest, server: ServerState, decision: RoutingDecision, snapshot: ServingSnapshot
) -> list[Segment]:
    if request.prepared:
        return [Segment(request.text, request.selector.language)]
    split = partial(
        segments,
        request.text,
        default_language=decision.default_language,
        routed_languages=decision.routed_languages,
        requested_language=request.selector.language,
        param=request.text_param,
    )
    sentences: list[Segment]
    if _needs_statistics(request, decision):
        identify = await server.language_model.identify()
        # A long text is compared sentence by sentence: other requests do not wait for that.
        long = len(request.text) > SAMPLE_CHARACTERS
        sentences = await asyncio.to_thread(split, identify=identify) if long else split(identify=identify)
    else:
        sentences = split()
    if len(sentences) == 1:
        return sentences
    models = {model_for(snapshot.catalogue, decision, language) for language in {one.language for one in sentences}}
    if any(snapshot.catalogue.models[model].config.pauses.sentences_apart for model in models):
        return sentences
    return passages(sentences, min(snapshot.engine_clients[model].passage_characters for model in models))


def _needs_statistics(request: SpeechRequest, decision: RoutingDecision) -> bool:
    if request.selector.language is not None or len(request.text) < FEWEST_LETTERS:
        return False
    return needs_statistics(decision.default_language, tuple(decision.routed_languages))


@dataclass(frozen=True, slots=True)
class _Job:
    """An admitted request, ready to be synthesized."""

    utterances: list[RoutedUtterance]
    request: SpeechRequest
    snapshot: ServingSnapshot
    server: ServerState
    stats: RequestStats

    @property
    def rate_hz(self) -> int:
        """Rate of the reply's samples: the first utterance's model decides."""
        return self.snapshot.engine_clients[self.utterances[0].model].sample_rate_hz


async def _open_stream(job: _Job) -> AudioStream:
    """Return cached audio, or a subscription to a running or new synthesis. Raises `InvalidParameter`."""
    request, snapshot, server = job.request, job.snapshot, job.server
    # Other tenants' entry pools cache what they ask this pool for: here it would take the room of this tenant's own.
    cache = server.cache if request.share.tenant == snapshot.config.tenant else None
    if cache is None:
        return CoalescedStream(_begin_synthesis(job)).subscribe()
    key = cache_key(snapshot.config, job.utterances, request.format, (job.rate_hz, request.sample_rate_hz))
    with span("cache"):
        reply = None if key in snapshot.coalescer else await cache.get(key)
    stream: AudioStream
    if reply is not None:
        job.stats.cache, stream = HIT, CachedAudio(reply)
    else:
        job.stats.cache = SHARED if key in snapshot.coalescer else MISS
        stream = snapshot.coalescer.join(key, lambda: _begin_cacheable(key, job), request.priority)
    server.metrics.cache_requests_of(job.stats.cache).inc()
    return stream


def _begin_cacheable(key: str, job: _Job) -> CoalescedStream:
    """Begin a synthesis that is cached under `key` when it ends, unless a fallback model synthesized it."""
    encoded = _begin_synthesis(job)

    async def put(data: bytes, seconds: float) -> None:
        cache, ttl_seconds = job.server.cache, job.snapshot.config.cache.ttl_seconds
        if cache is not None and not encoded.samples.fallback_model:
            await cache.put(key, CachedReply(data, seconds, time.time() + ttl_seconds))

    return CoalescedStream(encoded, put)


def _begin_synthesis(job: _Job) -> EncodedStream:
    request, server, names = job.request, job.server, job.snapshot.catalogue
    make_encoder = partial(encoder_for, request.format, job.rate_hz, output_rate_hz=request.sample_rate_hz)
    encoding = Encoding(request.format, make_encoder, server.threads)  # first: it may refuse the request
    clients = job.snapshot.engine_clients

    def shortened(utterances: list[RoutedUtterance]) -> list[RoutedUtterance]:
        return short_utterances(names, utterances, lambda model: clients[model].real_time_factor)

    plan = SynthesisPlan(
        shortened(job.utterances),
        job.snapshot.guards,
        names.fallbacks,
        lambda model: shortened(reroute(names, model, job.utterances)),
    )
    hooks = StreamHooks(
        on_retry=lambda model: server.metrics.segment_retries.labels(model).inc(),
        on_fallback=lambda model, reason: server.metrics.fallbacks.labels(model, reason).inc(),
    )
    return EncodedStream(SampleStream(plan, hooks, _params(job), streaming=request.streaming), encoding)


def _params(job: _Job) -> SchedulingParams:
    request, config, now = job.request, job.snapshot.config, time.monotonic()
    waited_seconds = now - job.stats.begun  # since the request arrived
    return SchedulingParams(
        tenant=request.share.tenant,
        weight=request.share.weight,
        priority=request.priority,
        ages_after_seconds=config.batch_ages_after_seconds,
        max_wait_seconds=max(config.max_wait_seconds - waited_seconds, 0.0),
        due=None if request.due_in_seconds is None else now + request.due_in_seconds,
    )
