"""`POST /v1/audio/speech`, as OpenAI has it: unknown fields are ignored."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from starlette.requests import Request
from starlette.responses import Response

from tts_server.audio import streams
from tts_server.config.schema import Precision
from tts_server.http.body import checked, read_object, spoken_text
from tts_server.http.caller import admit_caller, priority_of, server_of
from tts_server.http.request_context import conversation_of
from tts_server.http.speech_response import SpeechReply
from tts_server.pipeline.request import SpeechRequest
from tts_server.routing.voice_selection import VoiceSelector

router = APIRouter()

PATH = "/v1/audio/speech"
Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
Speed = Annotated[float, Field(ge=0.25, le=4.0, allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", max_length=35)]


class SpeechBody(BaseModel):
    """The fields that are understood; null is as good as absent, as some clients send it."""

    model_config = ConfigDict(strict=True, extra="ignore")

    model: Name
    input: str
    voice: Name
    response_format: Format | None = None
    speed: Speed | None = None
    stream_format: Literal["audio", "sse"] | None = None

    @field_validator("voice", mode="before")
    @classmethod
    def _named(cls, voice: Any) -> Any:
        """A voice may come as `{"id": name}`."""
        if not isinstance(voice, dict):
            return voice
        if "id" not in voice:
            raise ValueError("a voice is its name, or an object with its name as id")
        return voice["id"]


class PreparedBody(SpeechBody):
    """What the tenant's entry pool sends besides."""

    language: Language | None = None
    precision: Annotated[Precision, Field(strict=False)] | None = None
    due_in_seconds: Annotated[float, Field(allow_inf_nan=False)] | None = None


async def speech(request: Request) -> Response:
    """Speak `input`, sentence by sentence."""
    context = conversation_of(request.scope)
    context.speech = True
    caller = await admit_caller(request, any_tenant=True)
    server = server_of(request)
    content = await read_object(request, text_characters=server.admission.config.max_text_characters)
    body = checked(PreparedBody if caller.internal else SpeechBody, content)
    context.account.text_characters = len(body.input)
    prepared = body if isinstance(body, PreparedBody) else None
    wish = VoiceSelector(
        model=body.model,
        voice=body.voice,
        speed=body.speed or 1.0,
        language=prepared.language if prepared else None,
        precision=prepared.precision if prepared else None,
    )
    wanted = SpeechRequest(
        text=spoken_text(body.input),
        selector=wish,
        format=body.response_format or "mp3",
        share=caller.share,
        priority=priority_of(request),
        prepared=prepared is not None,
        streaming=streams(body.response_format or "mp3"),
        due_in_seconds=prepared.due_in_seconds if prepared else None,
        client=caller.client,
    )
    return SpeechReply(server, wanted, events=body.stream_format == "sse")


router.add_route(PATH, speech, methods=["POST"])  # requests come by `FastPath`
