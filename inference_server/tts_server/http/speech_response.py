"""The answer to a request for speech: whole with its length, streamed as it is spoken, or as server-sent events."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tts_server.audio import streams
from tts_server.errors import TTSError
from tts_server.http.disconnect import listening
from tts_server.http.errors import error_object
from tts_server.http.rate_limit_headers import Headers, rate_limit_headers
from tts_server.http.request_context import ClientDisconnected, RequestContext, ResponseAborted, conversation_of
from tts_server.pipeline.pipeline import synthesize
from tts_server.pipeline.request import SpeechRequest
from tts_server.pipeline.response import SpeechResponse
from tts_server.pipeline.server import ServerState

EVENTS = b"text/event-stream"
SEND_BYTES = 131_072
"""Of a part, at a time. A passage that is spoken slowly is minutes of sound: who plays it as it comes takes minutes."""
SEND_SECONDS = 60.0
"""For so many: a caller that takes less is gone, whatever its connection says. Every format plays faster."""


class SpeechReply(Response):
    """Speaks when it is sent: refusals become errors as long as nothing has left, afterwards the connection is cut.

    `events`: server-sent events in place of bare audio.
    """

    def __init__(self, server: ServerState, request: SpeechRequest, *, events: bool = False) -> None:
        super().__init__()
        self.server = server
        self.request = request
        self.events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = conversation_of(scope)
        try:
            async with speaking(self.request, self.server, context, receive) as speech:
                await self._send(speech, context, scope, send)
        except ClientDisconnected as error:
            if not context.status:
                raise
            context.failure = "hung_up"
            raise ResponseAborted from error

    async def _send(self, speech: SpeechResponse, context: RequestContext, scope: Scope, send: Send) -> None:
        # HTTP/1.0 has no chunks, and no way to tell a reply that ended from one that broke off, but for its length.
        has_chunks = scope["http_version"] != "1.0"
        if self.events and has_chunks:
            await self._stream(_events(speech, context), speech, context, EVENTS, send)
        elif self.events:
            await self._send_whole(b"".join([event async for event in _events(speech, context)]), speech, EVENTS, send)
        elif not streams(self.request.format) or not has_chunks or await speech.is_short():
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
            # Encoded before the status is sent: what fails until here has an error of its own.
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
    """A reply from its first sound to its account; while it is served, it counts as load.

    Raises whatever refuses the request, and `ClientDisconnected` inside when the caller leaves.
    """
    inflight = server.metrics.inflight_of(request.share.tenant)
    speech: SpeechResponse | None = None
    inflight.inc()
    try:
        async with listening(receive):
            speech = await synthesize(request, server, context.account)
            yield speech
    finally:  # the end of an answer looks like hanging up, which must not disturb its account
        try:
            if speech is not None:
                await speech.close()
        finally:
            inflight.dec()


def speech_headers(speech: SpeechResponse, media_type: bytes) -> Headers:
    """What a caller may want to know about who spoke, and about its limit."""
    return [
        (b"content-type", media_type),
        (b"x-tts-engine", speech.model.encode("latin-1", "replace")),
        (b"x-tts-status", speech.status.encode()),
        (b"cache-control", b"no-store"),
        *_cache_headers(speech),
        *rate_limit_headers(speech.admitted),
    ]


def _cache_headers(speech: SpeechResponse) -> Headers:
    """Whether the audio was kept from an earlier request; nothing where none is kept."""
    return [(b"x-tts-cache", b"hit" if speech.cached else b"miss")] if speech.stats.cache else []


async def _send_part(part: bytes, send: Send) -> None:
    for start in range(0, len(part), SEND_BYTES):
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": part[start : start + SEND_BYTES], "more_body": True})


async def _events(speech: SpeechResponse, context: RequestContext) -> AsyncGenerator[bytes]:
    """OpenAI's events. A failure is the last one, so that nobody takes what came for the whole."""
    begun = False
    try:
        async with aclosing(speech.parts()) as parts:
            async for part in parts:
                begun = True
                yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(part).decode()})
    except TTSError as error:
        if not begun:
            raise
        context.failure = error.code
        yield _event({"type": "error", "error": error_object(error, context.request_id)})
        return
    # Nothing here is counted in tokens: characters in, and the audio's length beside them.
    characters = context.account.text_characters
    usage = {"input_tokens": characters, "output_tokens": 0, "total_tokens": characters}
    usage_here = {"characters": characters, "audio_seconds": round(context.account.audio_seconds, 3)}
    yield _event({"type": "speech.audio.done", "usage": usage | usage_here})


def _event(content: dict[str, object]) -> bytes:
    return f"event: {content['type']}\ndata: {json.dumps(content)}\n\n".encode("ascii")
