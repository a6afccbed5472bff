"""The part of every object that Kubernetes keeps."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from tts_operator.api.apimodel import ReadLeniently
from tts_operator.api.names import LABEL


class ObjectMeta(ReadLeniently):
    """As much of `metadata` as the operator reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


def is_label(name: str, max_length: int, *, starts_with_letter: bool = False) -> bool:
    """Whether `name` is a DNS-1123 label, or a DNS-1035 one, which starts with a letter."""
    if starts_with_letter and not name[:1].isalpha():
        return False
    return len(name) <= max_length and re.fullmatch(LABEL, name) is not None


class Condition(ReadLeniently):
    """One thing that is true or not, and why."""

    type: Annotated[str, Field(max_length=316)]
    """What it is about, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(max_length=1024)]
    """Why, in one CamelCase word for programs."""
    message: Annotated[str, Field(max_length=32_768)]
    """Why, for people: what to change."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the spec that it was judged by."""
    last_transition_time: datetime
    """When `status` changed last."""
