"""What may be asked for: `GET /v1/models` as OpenAI has it, and `GET /v1/audio/voices`."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tts_server.http.caller import READING, admit_caller, server_of
from tts_server.routing.catalogue import Catalogue, Model, Voice

router = APIRouter()


@router.api_route("/v1/models", methods=READING)
async def models(request: Request) -> Response:
    """Every name that `model` may have."""
    catalogue, tenant = await _catalogue(request)
    return JSONResponse({"object": "list", "data": [_model(name, model, tenant) for name, model in catalogue.names()]})


@router.api_route("/v1/models/{name:path}", methods=READING)
async def model(request: Request, name: str) -> Response:
    """One of them."""
    catalogue, tenant = await _catalogue(request)
    return JSONResponse(_model(name, catalogue.model(name), tenant))


@router.api_route("/v1/audio/voices", methods=READING)
async def voices(request: Request) -> Response:
    """Every voice of every model, then the aliases."""
    catalogue, _ = await _catalogue(request)
    listed = [_voice(voice.name, voice) for model in catalogue.offered.values() for voice in model.voices.values()]
    for alias, name in catalogue.voice_aliases.items():
        listed += [_voice(alias, m.voices[name]) for m in catalogue.offered.values() if name in m.voices]
    return JSONResponse({"object": "list", "data": listed})


async def _catalogue(request: Request) -> tuple[Catalogue, str]:
    await admit_caller(request)
    snapshot = server_of(request).snapshot
    assert snapshot is not None  # noqa: S101 - nobody is admitted before
    return snapshot.catalogue, snapshot.config.tenant


def _model(name: str, model: Model, tenant: str) -> dict[str, object]:
    languages = model.config.languages or tuple(
        dict.fromkeys(language for voice in model.voices.values() for language in voice.languages[:1])
    )
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": tenant,
        "languages": list(languages),
        "precisions": list(model.config.allowed_precisions),
        "root": model.name,
    }


def _voice(name: str, voice: Voice) -> dict[str, object]:
    return {"id": name, "object": "voice", "name": voice.name, "model": voice.model, "languages": list(voice.languages)}
