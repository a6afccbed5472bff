"""Reads TTSModels with their fallback chains, and parses stored objects."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from tts_operator.api import TTSModel
from tts_operator.api.base import field_path
from tts_operator.api.model import LONGEST_CHAIN, fallback_of
from tts_operator.informer.reader import Reader
from tts_operator.objects.kinds import MODEL
from tts_operator.objects.manifest import Body, Ref
from tts_operator.observe.sources import together

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Parsed(Generic[M]):
    """A stored object, or why it cannot be read: a schema of another version may have admitted it."""

    value: M | None = None
    error: str | None = None
    """One line: the field and what is wrong with it."""


@dataclass(frozen=True)
class ModelReading:
    """TTSModels by name."""

    models: dict[str, TTSModel | None]
    """By name; None where the model is missing or does not parse."""
    errors: dict[str, str]
    """Why an existing model does not parse, in one line."""


async def read_published(objects: Reader, names: Iterable[str], found: ModelReading) -> list[TTSModel]:
    """Read every TTSModel if one of these names is none's, else nothing: a message lists what may have been meant.

    Raises ClusterError.
    """
    if all(found.models.get(name) is not None or name in found.errors for name in names):
        return []
    parsed = [parse(TTSModel, body) async for body in objects.all(MODEL)]
    return [each.value for each in parsed if each.value is not None]


async def read_models(objects: Reader, names: Iterable[str]) -> ModelReading:
    """Read these models and those in their fallback chains. Raises ClusterError."""
    parsed: dict[str, Parsed[TTSModel]] = {}
    pending = sorted(names)
    for _ in range(LONGEST_CHAIN):
        bodies = await together(*(objects.get(model_ref(name)) for name in pending))
        found = {
            name: Parsed() if body is None else parse(TTSModel, body)
            for name, body in zip(pending, bodies, strict=True)
        }
        parsed |= found
        fallbacks = {fallback_of(each.value) for each in found.values()}
        pending = sorted(name for name in fallbacks if name is not None and name not in parsed)
    return ModelReading(
        models={name: each.value for name, each in parsed.items()},
        errors={name: each.error for name, each in parsed.items() if each.error},
    )


def model_ref(name: str) -> Ref:
    """Reference to a model."""
    return Ref.of(MODEL, "", name)


def parse(kind: type[M], body: Body) -> Parsed[M]:
    """Parse a stored object."""
    try:
        return Parsed(kind.model_validate(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return Parsed(error=f"{field_path(first['loc'])}: {first['msg'].removeprefix('Value error, ')}")
