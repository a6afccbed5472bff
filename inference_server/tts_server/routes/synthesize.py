"""`POST /v1/tts/synthesize`: a link to audio that is kept for a while, or the bytes. Unknown fields are refused.

Audio that cannot be kept comes in the answer itself, which says why it has no link.
"""

import base64
import json
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tts_server.audio import streams
from tts_server.config.schema import Precision
from tts_server.errors import StorageUnavailable
from tts_server.http.body import checked, read_object, spoken_text
from tts_server.http.caller import admit_caller, priority_of, scheme_of, server_of
from tts_server.http.request_context import RequestContext, conversation_of
from tts_server.http.speech_response import SpeechReply, speaking, speech_headers
from tts_server.pipeline.request import SpeechRequest
from tts_server.pipeline.response import SpeechResponse
from tts_server.pipeline.server import ServerState
from tts_server.routes.speech import Format, Language, Name, Speed
from tts_server.routing.voice_selection import VoiceSelector
from tts_server.storage.protocol import new_key
from tts_server.telemetry.tracing import span

router = APIRouter()


class OptionsBody(BaseModel):
    """How to compute."""

    model_config = ConfigDict(strict=True, extra="forbid")

    precision: Annotated[Precision, Field(strict=False)] | None = None


class SynthesizeBody(BaseModel):
    """Everything but the text may be left out: the tenant's routing decides then."""

    model_config = ConfigDict(strict=True, extra="forbid")

    text: str
    voice: Name | None = None
    model: Name | None = None
    language: Language | None = None
    speed: Speed | None = None
    format: Format | None = None
    sample_rate: int | None = None
    options: OptionsBody | None = None


async def synthesize(request: Request) -> Response:
    """Speak `text`, keep it and answer with a link; `Accept: audio/*` answers with the audio itself."""
    context = conversation_of(request.scope)
    context.speech = True
    caller = await admit_caller(request)
    server = server_of(request)
    content = await read_object(request, text_characters=server.admission.config.max_text_characters)
    body = checked(SynthesizeBody, content)
    context.account.text_characters = len(body.text)
    wants_audio = _wants_audio(request.headers.get("accept", ""))
    wanted = SpeechRequest(
        text=spoken_text(body.text),
        selector=VoiceSelector(
            model=body.model,
            voice=body.voice,
            language=body.language,
            speed=body.speed or 1.0,
            precision=body.options.precision if body.options else None,
        ),
        format=body.format or "mp3",
        share=caller.share,
        sample_rate_hz=body.sample_rate,
        priority=priority_of(request),
        text_param="text",
        client=caller.client,
        streaming=wants_audio and streams(body.format or "mp3"),
    )
    if wants_audio:
        return SpeechReply(server, wanted)
    return LinkReply(server, wanted, _origin(request))


class LinkReply(Response):
    """Speaks all of it when it is sent, keeps it, and says where it is."""

    def __init__(self, server: ServerState, request: SpeechRequest, origin: str) -> None:
        super().__init__()
        self.server = server
        self.request = request
        self.origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = conversation_of(scope)
        async with speaking(self.request, self.server, context, receive) as speech:
            audio = await speech.whole()
            place = await self._place(speech, audio)
            speech.delivered()
        body = json.dumps(self._answer(context, speech) | place).encode("ascii")
        reply = Response(body)
        reply.raw_headers += speech_headers(speech, b"application/json")
        await reply(scope, receive, send)

    async def _place(self, speech: SpeechResponse, audio: bytes) -> dict[str, Any]:
        """Where the audio is: behind a link, or here and why."""
        try:
            return {"audio_url": await self._keep(speech, audio)}
        except StorageUnavailable as error:
            self.server.metrics.unkept_audio.labels(speech.config.tenant).inc()
            reason = {"code": error.code, "message": error.message}
            return {"audio_url": None, "audio_url_error": reason, "audio": base64.b64encode(audio).decode("ascii")}

    async def _keep(self, speech: SpeechResponse, audio: bytes) -> str:
        config, store = speech.config, self.server.store
        key = new_key(config.tenant, self.request.format)
        with span("store"):
            await store.keep(key, audio, speech.media_type)
        if (url := store.link(key, config.storage.link_seconds)) is not None:
            return url
        allowed = self.server.links.allow(key, config.storage.link_seconds)
        permission = f"expires={allowed.expires}&replica={allowed.replica}&signature={allowed.signature}"
        return f"{self.origin}/v1/tts/audio/{quote(key)}?{permission}"

    def _answer(self, context: RequestContext, speech: SpeechResponse) -> dict[str, Any]:
        return {
            "request_id": context.request_id,
            "audio_url": None,
            "duration": round(context.account.audio_seconds, 3),
            "engine_used": speech.model,
            "status": speech.status,
            "cached": speech.cached,
        }


def _wants_audio(accept: str) -> bool:
    kinds = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return any(kind.startswith("audio/") for kind in kinds)


def _origin(request: Request) -> str:
    """Where the caller reached this server, as far as it says so; empty, and the link relative, where it does not."""
    host = request.headers.get("host", "")
    plain = host.isascii() and all(character.isalnum() or character in "-._:[]" for character in host)
    return f"{scheme_of(request)}://{host}" if host and plain else ""


# Starlette's own kind of route: for each request, FastAPI's costs as much as everything else on the way to the engine.
router.add_route("/v1/tts/synthesize", synthesize, methods=["POST"])
