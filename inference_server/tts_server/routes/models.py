"""`GET /v1/models`, as OpenAI has it, and `GET /v1/audio/voices`: the names that requests may use."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from tts_server.config.schema import Precision
from tts_server.engines.licenses import voice_license
from tts_server.errors import ModelNotFound
from tts_server.http.caller import CALLER_ERRORS, READING, own_caller, server_of
from tts_server.http.openapi import errors, ok
from tts_server.http.openapi import request as reads
from tts_server.routing.catalogue import Catalogue, Model, Voice

READS = reads(headers=("X-Request-Id",))
router = APIRouter(tags=["Catalogue"], responses=errors(*CALLER_ERRORS))


class ModelObject(BaseModel):
    """A name that `model` of a request may have."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    object: Literal["model"] = "model"
    created: Literal[0] = 0
    owned_by: str
    """The tenant."""
    languages: list[str]
    """BCP 47 primary subtags."""
    precisions: list[Precision]
    """Values of `options.precision`."""
    root: str
    """The model itself, where `id` is an alias."""
    license: str | None
    """SPDX identifier of the license of its voices; null if they are not part of the server."""


class ModelList(BaseModel):
    """Every name that `model` may have."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


class VoiceObject(BaseModel):
    """A name that `voice` of a request may have."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    object: Literal["voice"] = "voice"
    name: str
    """The voice itself, where `id` is an alias."""
    model: str
    languages: list[str]
    """BCP 47 primary subtags; empty: those of the model."""
    gender: Literal["female", "male"] | None
    """Null if the engine does not say."""


class VoiceName(BaseModel):
    """A name that `voice` of a request may have, as clients list them that know no models."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    name: str
    """Equal to `id`: an alias has a name of its own."""


class VoiceList(BaseModel):
    """Every voice of every model, then the aliases."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["list"] = "list"
    data: list[VoiceObject]
    voices: list[VoiceName]
    """Names of `data`, each once."""


async def _catalogue(request: Request) -> tuple[Catalogue, str]:
    await own_caller(request)
    snapshot = server_of(request).snapshot
    assert snapshot is not None  # noqa: S101 - `own_caller` refuses before that
    return snapshot.catalogue, snapshot.config.tenant


CatalogueOf = Annotated[tuple[Catalogue, str], Depends(_catalogue)]


@router.api_route("/v1/models", methods=READING, responses=ok("The names."), openapi_extra=READS)
async def models(listed: CatalogueOf) -> ModelList:
    """Every name that `model` may have."""
    catalogue, tenant = listed
    return ModelList(data=[_model(name, model, tenant) for name, model in catalogue.names()])


@router.api_route(
    "/v1/models/{name:path}",
    methods=READING,
    responses=ok("The name.") | errors(ModelNotFound),
    openapi_extra=READS,
)
async def model(listed: CatalogueOf, name: str) -> ModelObject:
    """One name that `model` may have."""
    catalogue, tenant = listed
    return _model(name, catalogue.model(name), tenant)


@router.api_route("/v1/audio/voices", methods=READING, responses=ok("The names."), openapi_extra=READS)
async def voices(listed: CatalogueOf) -> VoiceList:
    """Every name that `voice` may have."""
    catalogue, _ = listed
    data = [_voice(voice.name, voice) for model in catalogue.offered.values() for voice in model.voices.values()]
    for alias, name in catalogue.voice_aliases.items():
        found = (model.find(name, {}) for model in catalogue.offered.values())
        data += [_voice(alias, voice) for voice in found if voice is not None]
    names = dict.fromkeys(voice.id for voice in data)
    return VoiceList(data=data, voices=[VoiceName(id=name, name=name) for name in names])


def _model(name: str, model: Model, tenant: str) -> ModelObject:
    return ModelObject(
        id=name,
        owned_by=tenant,
        languages=model.languages,
        precisions=list(model.config.allowed_precisions),
        root=model.name,
        license=voice_license(model.config),
    )


def _gender(voice: Voice) -> Literal["female", "male"] | None:
    match voice.gender:
        case "female" | "male":
            return voice.gender
        case _:
            return None


def _voice(name: str, voice: Voice) -> VoiceObject:
    return VoiceObject(
        id=name, name=voice.name, model=voice.model, languages=list(voice.languages), gender=_gender(voice)
    )
