"""`POST /v1/tts/synthesize`: a link to audio that is stored for a while, or the audio. Unknown fields are refused.

Audio that cannot be stored is in the answer itself, which says why it has no link.
"""

import base64
import json
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tts_server.audio import SAMPLE_RATES_HZ, streams
from tts_server.config.schema import Precision
from tts_server.errors import StorageUnavailable
from tts_server.http.body import BODY_ERRORS, checked, read_object
from tts_server.http.caller import CALLER_ERRORS, admit_caller, base_url_of, priority_of, server_of
from tts_server.http.openapi import QUOTA_HEADERS, answer, errors
from tts_server.http.openapi import request as reads
from tts_server.http.request_context import RequestContext, context_of
from tts_server.http.speech_response import SPEECH_ERRORS, SpeechReply, speaking, speech_headers
from tts_server.pipeline.request import SpeechRequest
from tts_server.pipeline.response import SpeechResponse
from tts_server.pipeline.server import ServerState
from tts_server.routes.speech import MEDIA_TYPES, Format, Language, Name, Speed, Text
from tts_server.routing.voice_selection import VoiceSelector
from tts_server.storage.protocol import new_key
from tts_server.telemetry.tracing import span

router = APIRouter(tags=["Speech"])

PATH = "/v1/tts/synthesize"


RATES_HZ = sorted({rate for rates in SAMPLE_RATES_HZ.values() for rate in rates})


class OptionsBody(BaseModel):
    """How the model computes."""

    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)

    precision: Annotated[Precision, Field(strict=False)] | None = None
    """One of those that `/v1/models` lists for the model."""


class SynthesizeBody(BaseModel):
    """A text to speak. Other fields are refused; null counts as absent."""

    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)

    text: Text
    """The text, with `<lang=xx>` tags where parts have another language; at most the tenant's `maxTextCharacters`."""
    voice: Name | None = None
    """A name from `/v1/audio/voices`. Default: the tenant's `languageRouting` decides."""
    model: Name | None = None
    """A name from `/v1/models`. Default: the tenant's first model."""
    language: Language | None = None
    """BCP 47 tag of all text outside tags. Default: by script."""
    speed: Speed | None = None
    """Default: 1."""
    format: Format | None = None
    """Default: mp3."""
    sample_rate: Annotated[int, Field(json_schema_extra={"enum": RATES_HZ})] | None = None
    """Hz; which ones depends on the format. Default: the engine's, or the format's only one."""
    options: OptionsBody | None = None


class KeepingError(BaseModel):
    """Why audio could not be stored."""

    code: str
    message: str


class VoiceUsedObject(BaseModel):
    """A voice that spoke, and its model."""

    model: str
    voice: str


class SynthesizeAnswer(BaseModel):
    """Link to the audio, and facts about it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    request_id: str
    audio_url: str | None
    """Signed link, good for the tenant's `linkSeconds`; null where the audio could not be stored."""
    audio_url_error: KeepingError | None = None
    """Only with a null `audio_url`."""
    audio: str | None = None
    """The audio in base64; only with a null `audio_url`."""
    duration: float
    """Seconds of audio."""
    engine_used: str
    """Model that spoke."""
    voices_used: list[VoiceUsedObject]
    """Every voice that spoke, in the order of the text: a text in several languages may have several."""
    status: Literal["ok", "degraded"]
    """`degraded` where a fallback spoke."""
    fallback_reason: str | None
    """Code of the error because of which it spoke; null where none did."""
    cached: bool
    """Whether the audio came from the cache."""


ANSWERS = {
    200: answer(
        "The link; with `Accept: audio/*` the audio.",
        "X-TTS-Engine", "X-TTS-Voice", "X-TTS-Status", "Cache-Control",
        media_types=MEDIA_TYPES, optional=("X-TTS-Cache", "X-TTS-Fallback-Reason", *QUOTA_HEADERS),
    ),
    **errors(*BODY_ERRORS, *CALLER_ERRORS, *SPEECH_ERRORS),
}  # fmt: skip


@router.post(
    PATH,
    response_model=SynthesizeAnswer,
    responses=ANSWERS,
    openapi_extra=reads(SynthesizeBody, headers=("Accept", "X-TTS-Priority", "X-Request-Id")),
)
async def synthesize(request: Request) -> Response:
    """Speak `text`, store it and answer with a link; with `Accept: audio/*` answer with the audio itself."""
    context = context_of(request.scope)
    context.speech = True
    caller = await admit_caller(request)
    server = server_of(request)
    content = await read_object(request, text_characters=server.admission.config.max_text_characters)
    body = checked(SynthesizeBody, content)
    context.account.text_characters = len(body.text)
    wants_audio = _wants_audio(request.headers.get("accept", ""))
    speech_request = SpeechRequest(
        text=body.text,
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
        return SpeechReply(server, speech_request)
    return LinkReply(server, speech_request, base_url_of(request))


class LinkReply(Response):
    """Synthesizes the whole audio while it is sent, stores it, and answers with its link."""

    def __init__(self, server: ServerState, request: SpeechRequest, base_url: str) -> None:
        super().__init__()
        self.server = server
        self.request = request
        self.base_url = base_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        async with speaking(self.request, self.server, context, receive) as speech:
            audio = await speech.whole()
            location = await self._store(speech, audio)
            speech.delivered()
        body = json.dumps(self._answer(context, speech) | location).encode("ascii")
        reply = Response(body)
        reply.raw_headers += speech_headers(speech, b"application/json")
        await reply(scope, receive, send)

    async def _store(self, speech: SpeechResponse, audio: bytes) -> dict[str, Any]:
        """Return the fields with the link, or with the audio and why there is no link."""
        try:
            return {"audio_url": await self._link(speech, audio)}
        except StorageUnavailable as error:
            self.server.metrics.unkept_audio.labels(speech.config.tenant).inc()
            reason = {"code": error.code, "message": error.message}
            return {"audio_url": None, "audio_url_error": reason, "audio": base64.b64encode(audio).decode("ascii")}

    async def _link(self, speech: SpeechResponse, audio: bytes) -> str:
        config, store = speech.config, self.server.store
        key = new_key(config.tenant, self.request.format)
        with span("store"):
            await store.keep(key, audio, speech.media_type)
        if (url := store.link(key, config.storage.link_seconds)) is not None:
            return url
        allowed = self.server.links.allow(key, config.storage.link_seconds)
        permission = f"expires={allowed.expires}&replica={allowed.replica}&signature={allowed.signature}"
        return f"{self.base_url}/v1/tts/audio/{quote(key)}?{permission}"

    def _answer(self, context: RequestContext, speech: SpeechResponse) -> dict[str, Any]:
        return {
            "request_id": context.request_id,
            "audio_url": None,
            "duration": round(context.account.audio_seconds, 3),
            "engine_used": speech.model,
            "voices_used": [used._asdict() for used in speech.voices_used],
            "status": speech.status,
            "fallback_reason": speech.fallback_reason or None,
            "cached": speech.cached,
        }


def _wants_audio(accept: str) -> bool:
    kinds = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return any(kind.startswith("audio/") for kind in kinds)
