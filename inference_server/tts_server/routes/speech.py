"""`POST /v1/audio/speech`, OpenAI's route: unknown fields are ignored."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from tts_server.audio import FORMATS, media_type, streams
from tts_server.config.schema import Precision
from tts_server.http.body import BODY_ERRORS, checked, read_object, whole_characters
from tts_server.http.caller import CALLER_ERRORS, admit_caller, priority_of, server_of
from tts_server.http.openapi import QUOTA_HEADERS, answer, errors
from tts_server.http.openapi import request as reads
from tts_server.http.request_context import context_of
from tts_server.http.speech_response import SPEECH_ERRORS, SpeechReply
from tts_server.pipeline.request import SpeechRequest
from tts_server.routing.voice_selection import VoiceSelector

router = APIRouter(tags=["Speech"])

PATH = "/v1/audio/speech"
Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
Speed = Annotated[float, Field(ge=0.25, le=4.0, allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", max_length=35)]


Text = Annotated[str, AfterValidator(whole_characters), Field(json_schema_extra={"minLength": 1})]
"""An empty text is refused where a blank one is, with a code of its own."""


def _voice_name(voice: Any) -> Any:
    if not isinstance(voice, dict):
        return voice
    if "id" not in voice:
        raise ValueError("a voice is its name, or an object with its name as id")
    return voice["id"]


_NAME = {"type": "string", "minLength": 1, "maxLength": 256}
_VOICE = {"anyOf": [_NAME, {"type": "object", "properties": {"id": _NAME}, "required": ["id"]}]}


class SpeechBody(BaseModel):
    """A text to speak. Other fields are ignored; null counts as absent, because some clients send it."""

    model_config = ConfigDict(strict=True, extra="ignore", use_attribute_docstrings=True)

    model: Name
    """A name from `/v1/models`."""
    input: Text
    """The text, with `<lang=xx>` tags where parts have another language; at most the tenant's `maxTextCharacters`."""
    voice: Annotated[Name, BeforeValidator(_voice_name), WithJsonSchema(_VOICE)]
    """A name from `/v1/audio/voices`, or an object with it as `id`."""
    response_format: Format | None = None
    """Default: mp3."""
    speed: Speed | None = None
    """Default: 1."""
    stream_format: Literal["audio", "sse"] | None = None
    """`sse`: events `speech.audio.delta` with base64, then `speech.audio.done`. Default: audio."""


class PreparedBody(SpeechBody):
    """A body of the tenant's entry pool, which has prepared the text."""

    language: Language | None = None
    precision: Annotated[Precision, Field(strict=False)] | None = None
    due_in_seconds: Annotated[float, Field(allow_inf_nan=False)] | None = None


MEDIA_TYPES = [media_type(name) for name in FORMATS]
ANSWERS = {
    200: answer(
        "The audio, streamed sentence by sentence; short audio has a length.",
        "X-TTS-Engine", "X-TTS-Voice", "X-TTS-Status", "Cache-Control",
        media_types=[*MEDIA_TYPES, "text/event-stream"],
        optional=("X-TTS-Cache", "X-TTS-Fallback-Reason", *QUOTA_HEADERS),
    ),
    **errors(*BODY_ERRORS, *CALLER_ERRORS, *SPEECH_ERRORS),
}  # fmt: skip


@router.post(
    PATH,
    response_class=Response,
    responses=ANSWERS,
    openapi_extra=reads(SpeechBody, headers=("X-TTS-Priority", "X-Request-Id")),
)
async def speech(request: Request) -> Response:
    """Speak `input`, sentence by sentence. OpenAI's clients call this route."""
    context = context_of(request.scope)
    context.speech = True
    caller = await admit_caller(request, any_tenant=True)
    server = server_of(request)
    content = await read_object(request, text_characters=server.admission.config.max_text_characters)
    body = checked(PreparedBody if caller.internal else SpeechBody, content)
    context.account.text_characters = len(body.input)
    prepared = body if isinstance(body, PreparedBody) else None
    selector = VoiceSelector(
        model=body.model,
        voice=body.voice,
        speed=body.speed or 1.0,
        language=prepared.language if prepared else None,
        precision=prepared.precision if prepared else None,
    )
    speech_request = SpeechRequest(
        text=body.input,
        selector=selector,
        format=body.response_format or "mp3",
        share=caller.share,
        priority=priority_of(request),
        prepared=prepared is not None,
        streaming=streams(body.response_format or "mp3"),
        due_in_seconds=prepared.due_in_seconds if prepared else None,
        client=caller.client,
    )
    return SpeechReply(server, speech_request, events=body.stream_format == "sse")
