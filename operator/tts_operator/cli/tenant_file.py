"""Reads TTSTenants, TTSModels and TTSCalendars from files, and reports what the API server would refuse.

It needs no cluster. The API models decide, strictly; their errors become sentences for the author of the file.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tts_operator.api import TTSCalendar, TTSModel, TTSTenant
from tts_operator.api.base import field_path
from tts_operator.calendar.calendar import UnknownTimeZone, time_zone
from tts_operator.cli.kubectl_yaml import JSON, YAMLError, load_all
from tts_operator.objects.names import API_VERSION, GROUP

T = TypeVar("T", bound=BaseModel)
P = TypeVar("P", TTSModel, TTSCalendar)
STDIN = "-"
MAX_BYTES = 16 << 20
"""Size of a file: JSON of about 4,000 tenants as kubectl prints it."""
ADVICE = {
    "start": "write local time as HH:MM, from 00:00 to 23:59",
    "end": "write local time as HH:MM, from 00:00 to 24:00",
    "from": "write a date as YYYY-MM-DD",
    "to": "write a date as YYYY-MM-DD",
    "timeZone": "write an IANA name, such as Asia/Shanghai or UTC",
    "days": "write a list of Mon, Tue, Wed, Thu, Fri, Sat, Sun",
    "hourlyCost": 'write a decimal number in quotes, such as "1.20"',
    "quality": 'write a decimal number from 0 to 10 in quotes, such as "9.5"',
    "minReplicas": "write a whole number from 0 to 1000",
    "maxReplicas": "write a whole number from 0 to 1000",
}
"""Advice for a value that is not valid, by the name of the field."""


class TenantFileError(Exception):
    """Problems of a file that cannot be used. Each names its field, if it has one, and says what to write."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def documents(path: str) -> list[JSON]:
    """Every object of the file, those of a List one by one; "-" reads standard input. Raises TenantFileError."""
    return list(_documents(_text(path)))


def documents_of(paths: Iterable[str]) -> list[JSON]:
    """Every object of several files. Raises TenantFileError with the problems of all, each with its file."""
    objects: list[JSON] = []
    problems: list[str] = []
    for path in paths:
        try:
            objects += documents(path)
        except TenantFileError as error:
            problems += (f"{'standard input' if path == STDIN else path}: {problem}" for problem in error.problems)
    if problems:
        raise TenantFileError(*problems)
    return objects


def tenant_in(objects: Iterable[JSON], name: str | None = None, namespace: str | None = None) -> TTSTenant:
    """The only TTSTenant among the objects, or the one of this name. Raises TenantFileError."""
    tenants = [document for document in objects if _is(document, "TTSTenant")]
    named = [
        document
        for document in tenants
        if name in {None, _metadata(document, "name")} and namespace in {None, _metadata(document, "namespace")}
    ]
    if not named:
        wanted = "TTSTenant" if name is None else f"TTSTenant named {name}"
        where = "" if namespace is None else f", namespace {namespace}"
        raise TenantFileError(f"no {wanted} found (apiVersion {API_VERSION}{where})")
    refuse_twice(named, "TTSTenant")
    if len(named) > 1:
        names = ", ".join(map(_name, named))
        raise TenantFileError(
            f"{len(named)} TTSTenants found ({names}); choose one with --tenant NAME and -n NAMESPACE"
        )
    return _tenant(named[0])


def models_in(objects: Iterable[JSON]) -> dict[str, TTSModel]:
    """Every TTSModel among the objects, by name. Raises TenantFileError."""
    return _named(objects, TTSModel)


def calendars_in(objects: Iterable[JSON]) -> dict[str, TTSCalendar]:
    """Every TTSCalendar among the objects, by name. Raises TenantFileError."""
    return _named(objects, TTSCalendar)


def _named(objects: Iterable[JSON], kind: type[P]) -> dict[str, P]:
    documents = [document for document in objects if _is(document, kind.__name__)]
    refuse_twice(documents, kind.__name__)
    found = [_published(document, kind) for document in documents]
    return {each.metadata.name: each for each in found}


def refuse_twice(documents: Iterable[JSON], kind: str) -> None:
    """Raise TenantFileError for an object that is there twice: which one counts is not known."""
    counts = Counter(map(_name, documents))
    if twice := [name for name, count in counts.items() if count > 1]:
        raise TenantFileError(f"{kind} {twice[0]} is there {counts[twice[0]]} times: leave all but one out")


def _published(document: JSON, kind: type[P]) -> P:
    """An object of the platform team's, whose name is part of each problem."""
    try:
        return _validated(document, kind)
    except TenantFileError as error:
        name = f"{kind.__name__} {_name(document)}"
        raise TenantFileError(*(f"{name}: {problem}" for problem in error.problems)) from error


def _text(path: str) -> str:
    try:
        with nullcontext(sys.stdin.buffer) if path == STDIN else Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TenantFileError(f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise TenantFileError(
            f"larger than {MAX_BYTES >> 20} MiB; write one tenant into a file:"
            " kubectl get ttstenant NAME -n NAMESPACE -o yaml"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise TenantFileError("not UTF-8 text") from error


def _documents(text: str) -> Iterator[JSON]:
    """Objects of the text; those of a List one by one."""
    try:
        for document in load_all(text):
            items = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else None
            yield from items if isinstance(items, list) else [document]
    except YAMLError as error:
        raise TenantFileError(f"cannot be read as YAML: {error}") from error


def _is(document: JSON, kind: str) -> bool:
    if not isinstance(document, dict):
        return False
    return document.get("kind") == kind and str(document.get("apiVersion")).startswith(f"{GROUP}/")


def _name(document: JSON) -> str:
    name, namespace = (_metadata(document, field) for field in ("name", "namespace"))
    return f"{namespace}/{name}" if namespace else name or "unnamed"


def _metadata(document: JSON, field: str) -> str:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return str(metadata.get(field) or "") if isinstance(metadata, dict) else ""


def _tenant(document: JSON) -> TTSTenant:
    tenant = _validated(document, TTSTenant)
    if tenant.spec.schedule is not None:
        try:
            time_zone(tenant.spec.schedule.time_zone)
        except UnknownTimeZone as error:
            raise TenantFileError(f"spec.schedule.timeZone: {error}") from error
    return tenant


def _validated(document: JSON, kind: type[T]) -> T:
    written = {key: value for key, value in document.items() if key != "status"} if isinstance(document, dict) else {}
    try:
        # Strict, as the API server is: "3" is not a number, and true is not 1.
        return kind.model_validate_json(json.dumps(_without_nulls(written)), strict=True)
    except ValidationError as error:
        details = error.errors()
        inner = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
        # If a list and its entry both have an error, the entry's says more.
        raise TenantFileError(*(_problem(detail) for detail in details if detail["loc"] not in inner)) from error


def _without_nulls(value: JSON) -> JSON:
    """Fields that are null are not set, as in the API server: a list, for example, whose entries are all comments."""
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value


def _problem(detail: ErrorDetails) -> str:
    location = detail["loc"]
    path = field_path(location)
    if detail["type"] == "missing":
        return f"{path}: required field is missing"
    if detail["type"] == "extra_forbidden":
        return f"{path}: unknown field; check its spelling"
    if detail["type"] == "value_error":  # a rule over several fields, whose message says what to do
        return f"{path}: {detail['msg'].removeprefix('Value error, ')}"
    fields = [step for step in location if isinstance(step, str)]
    advice = ADVICE.get(fields[-1]) if {"schedule", "precisions", "dates"} & set(fields) else None
    written = json.dumps(detail["input"], ensure_ascii=False)
    if detail["type"] == "string_type" and isinstance(detail["input"], bool) and advice is None:
        return f"{path}: {written} is not valid: put it in quotes; unquoted y, n, yes, no, on and off are booleans"
    shown = written if len(written) <= 60 else f"{written[:57]}..."
    return f"{path}: {shown} is not valid: {advice or detail['msg']}"
