"""Answers a request for speech: whole with its length, streamed as it is synthesized, or as server-sent events."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tts_server.audio import streams
from tts_server.errors import (
    DayQuotaExceeded,
    Draining,
    EngineCrashed,
    EngineError,
    EngineGivenUp,
    EngineNotReady,
    EngineTimeout,
    EngineUnavailable,
    FormatUnavailable,
    InvalidAudio,
    ModelNotFound,
    PrecisionNotAllowed,
    QuotaExceeded,
    RemoteBusy,
    RemoteRejected,
    RemoteUnreachable,
    TextRejected,
    TextUnreadable,
    TTSError,
    VoiceNotFound,
)
from tts_server.http.disconnect import cancelled_on_disconnect
from tts_server.http.errors import error_object
from tts_server.http.rate_limit_headers import Headers, rate_limit_headers
from tts_server.http.request_context import ClientDisconnected, RequestContext, ResponseAborted, context_of
from tts_server.inference import pause_scales
from tts_server.pipeline.pipeline import synthesize
from tts_server.pipeline.request import SpeechRequest
from tts_server.pipeline.response import SpeechResponse, VoiceUsed
from tts_server.pipeline.server import ServerState

EVENTS = b"text/event-stream"
SEND_BYTES = 131_072
"""Largest chunk. A part may be minutes of audio, which a client that plays it reads within minutes."""
EVENT_BYTES = 23_040
"""Audio of one event: a line of less than 32 KiB in base64, because readers of lines have limits. Whole samples, and
divisible by 3, so that base64 pads only the last one."""
LISTED_VOICES = 16
"""Most voices in a header: a text may name every language in turn."""
URL_SAFE = "/+()._-"
"""Signs of model and voice names that a header may have as they are."""
SEND_SECONDS = 60.0
"""Time limit for a chunk: a client that reads slower is disconnected. Every format plays faster."""
SPEECH_ERRORS = (
    TextRejected,
    TextUnreadable,
    ModelNotFound,
    VoiceNotFound,
    PrecisionNotAllowed,
    FormatUnavailable,
    QuotaExceeded,
    DayQuotaExceeded,
    Draining,
    EngineError,
    EngineUnavailable,
    EngineCrashed,
    InvalidAudio,
    EngineNotReady,
    EngineGivenUp,
    EngineTimeout,
    RemoteBusy,
    RemoteRejected,
    RemoteUnreachable,
)
"""Errors that refuse or end a request for speech."""


class SpeechReply(Response):
    """Synthesizes while it is sent. An error before the first byte gets an answer; a later one cuts the connection.

    `events`: server-sent events instead of audio.
    """

    def __init__(self, server: ServerState, request: SpeechRequest, *, events: bool = False) -> None:
        super().__init__()
        self.server = server
        self.request = request
        self.events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        try:
            async with speaking(self.request, self.server, context, receive) as speech:
                await self._send(speech, context, send)
        except ClientDisconnected as error:
            if not context.status:
                raise
            context.failure = "hung_up"
            raise ResponseAborted from error

    async def _send(self, speech: SpeechResponse, context: RequestContext, send: Send) -> None:
        if self.events:
            await self._stream(_events(speech, context), speech, context, EVENTS, send)
        elif not streams(self.request.format) or await speech.is_short():
            await self._send_whole(await speech.whole(), speech, speech.media_type.encode(), send)
        else:
            await self._stream(speech.parts(), speech, context, speech.media_type.encode(), send)

    async def _send_whole(self, body: bytes, speech: SpeechResponse, media_type: bytes, send: Send) -> None:
        speech.delivered()
        headers = [*speech_headers(speech, media_type), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _stream(
        self,
        parts: AsyncGenerator[bytes],
        speech: SpeechResponse,
        context: RequestContext,
        media_type: bytes,
        send: Send,
    ) -> None:
        async with aclosing(parts):
            # Encoded before the status is sent: a failure until here gets an error answer.
            part = await anext(parts)
            await send({"type": "http.response.start", "status": 200, "headers": speech_headers(speech, media_type)})
            speech.delivered()
            try:
                await _send_part(part, send)
                async for part in parts:
                    await _send_part(part, send)
            except TTSError as error:
                context.failure = error.code
                raise ResponseAborted from error
            except TimeoutError as error:
                context.failure = "slow_reader"
                raise ResponseAborted from error
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def speaking(
    request: SpeechRequest, server: ServerState, context: RequestContext, receive: Receive
) -> AsyncGenerator[SpeechResponse]:
    """Run a request from its first audio to its accounting; meanwhile it counts as in flight.

    Raises the kinds of `SPEECH_ERRORS`, and `ClientDisconnected` inside when the client disconnects.
    """
    inflight = server.metrics.inflight_of(request.share.tenant)
    speech: SpeechResponse | None = None
    inflight.inc()
    try:
        async with cancelled_on_disconnect(receive):
            speech = await synthesize(request, server, context.account)
            yield speech
    finally:  # outside the watcher: the end of a response looks like a disconnect, which must not stop the accounting
        try:
            if speech is not None:
                await speech.close()
        finally:
            inflight.dec()


def speech_headers(speech: SpeechResponse, media_type: bytes) -> Headers:
    """Return the headers of speech: who spoke, and why; the cache, and what is left of the limits."""
    return [
        (b"content-type", media_type),
        (b"x-tts-engine", speech.model.encode("latin-1", "replace")),
        (b"x-tts-voice", _listed(speech.voices_used).encode("ascii")),
        (b"x-tts-status", speech.status.encode()),
        *_fallback_headers(speech),
        (b"cache-control", b"no-store"),
        *_cache_headers(speech),
        *_pause_headers(speech),
        *rate_limit_headers(speech.admitted),
    ]


def _listed(voices_used: Sequence[VoiceUsed]) -> str:
    """Write the voices as a header, which has no place for letters beyond ASCII: those are percent-encoded."""
    listed = [quote(f"{used.model}/{used.voice}", safe=URL_SAFE) for used in voices_used[:LISTED_VOICES]]
    return ", ".join(listed)


def _fallback_headers(speech: SpeechResponse) -> Headers:
    return [(b"x-tts-fallback-reason", speech.fallback_reason.encode())] if speech.fallback_reason else []


def _cache_headers(speech: SpeechResponse) -> Headers:
    """Say whether the audio was cached; nothing where there is no cache."""
    return [(b"x-tts-cache", b"hit" if speech.cached else b"miss")] if speech.stats.cache else []


def _pause_headers(speech: SpeechResponse) -> Headers:
    """Tell an entry pool how long the engine's pauses are: it makes those between this segment and its neighbours."""
    if not speech.request.prepared:
        return []
    scales = speech.snapshot.engine_clients[speech.model].pause_scales
    return [(pause_scales.NAME.lower().encode(), pause_scales.encode(scales).encode())] if scales else []


async def _send_part(part: bytes, send: Send) -> None:
    for start in range(0, len(part), SEND_BYTES):
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": part[start : start + SEND_BYTES], "more_body": True})


async def _events(speech: SpeechResponse, context: RequestContext) -> AsyncGenerator[bytes]:
    """Yield OpenAI's events. A failure is the last event, so that no client takes the audio for complete."""
    started = False
    try:
        async with aclosing(speech.parts()) as parts:
            async for part in parts:
                started = True
                for start in range(0, len(part), EVENT_BYTES):
                    audio = base64.b64encode(part[start : start + EVENT_BYTES]).decode()
                    yield _event({"type": "speech.audio.delta", "audio": audio})
    except TTSError as error:
        if not started:
            raise
        context.failure = error.code
        yield _event({"type": "error", "error": error_object(error, context.request_id)})
        return
    # There are no tokens here: characters stand for input tokens, with the length of the audio beside them.
    characters = context.account.text_characters
    usage = {"input_tokens": characters, "output_tokens": 0, "total_tokens": characters}
    usage_here = {"characters": characters, "audio_seconds": round(context.account.audio_seconds, 3)}
    yield _event({"type": "speech.audio.done", "usage": usage | usage_here})


def _event(content: dict[str, object]) -> bytes:
    return f"event: {content['type']}\ndata: {json.dumps(content)}\n\n".encode("ascii")
