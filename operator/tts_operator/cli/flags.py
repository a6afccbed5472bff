"""Derives command-line flags from a dataclass of settings: their names, checks, help, and variables of the environment.

docs/decisions/0017-settings.md compares this with pydantic-settings.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from tts_operator.settings import AlsoFrom, Constant, NotInPods

T = TypeVar("T")
Schema = Mapping[str, Any]
VALUE_NAMES = {"integer": "N", "number": "N", "boolean": "BOOL", "path": "DIRECTORY"}


class FlagError(ValueError):
    """Flags that cannot be used. Each problem is a sentence that names its flag and says what to write."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Flag:
    """A field of the settings as a person sets it."""

    name: str
    """Name with its dashes: --s3-bucket."""
    path: tuple[str, ...]
    """Names of the fields that lead to the value: s3, bucket."""
    group: str
    """Heading under which the flag is listed."""
    help: str
    """Sentences for --help and the reference, with backquotes around literals."""
    variables: tuple[str, ...]
    """Variables of the environment that set the value, the strongest first."""
    default: str | None
    """Default as a person would write it; None if a value is required."""
    schema: Schema
    """JSON schema of the value."""
    switch: str
    """Flag that turns the optional group on, such as --s3-endpoint. Empty outside of such a group."""

    @property
    def required(self) -> bool:
        """Whether the program does not start without it."""
        return self.default is None and not self.switch

    @property
    def default_text(self) -> str:
        """Default for people: a value, empty where no value is the default, or the condition that requires one."""
        if self.default is not None:
            return self.default
        if self.switch == self.name:
            return ""
        return f"required with {self.switch}" if self.switch else "required"


@functools.cache
def flags_of(settings: type, prefix: str) -> tuple[Flag, ...]:
    """Flags of a dataclass of settings; `prefix` begins the names of their variables in the environment."""
    return tuple(_flags(settings, prefix))


def add_flags(parser: argparse.ArgumentParser, flags: Sequence[Flag]) -> None:
    """Add the flags to a parser, which leaves their values as text."""
    for heading in dict.fromkeys(flag.group for flag in flags):
        group = parser.add_argument_group(heading)
        for flag in flags:
            if flag.group == heading:
                text = flag.help.replace("`", "").replace("%", "%%")
                default = f"default: {flag.default}" if flag.default else flag.default_text
                group.add_argument(
                    flag.name, metavar=_value_name(flag), help=f"{text} ({default})" if default else text
                )


def read(settings: type[T], flags: Sequence[Flag], options: argparse.Namespace, environment: Mapping[str, str]) -> T:
    """Settings as the command line and the environment give them; the command line comes first. Raises FlagError."""
    given = {flag.name: _given(flag, options, environment) for flag in flags}
    values: dict[str, Any] = {}
    for flag in flags:
        text = given[flag.name].text
        if text is None or (flag.switch and not (text and given[flag.switch].text)):
            continue  # in an optional group, an empty value is no value, and without the switch nothing is
        group = values
        for step in flag.path[:-1]:
            group = group.setdefault(step, {})
        group[flag.path[-1]] = text
    try:
        read_settings: T = _adapter(cast("type", settings)).validate_python(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise FlagError(*dict.fromkeys(_problem(detail, flags, given) for detail in details)) from None
    return read_settings


class _Given(NamedTuple):
    """Text of a flag's value, None if there is none, and the source to name in an error."""

    source: str
    text: str | None


@functools.cache
def _adapter(settings: type) -> TypeAdapter[Any]:
    """The adapter of a dataclass of settings, which takes a tenth of a second to make."""
    return TypeAdapter(settings)


def _flags(settings: type, prefix: str, path: tuple[str, ...] = (), *, optional: bool = False) -> Iterator[Flag]:
    schemas = _adapter(settings).json_schema()["properties"]
    hints = get_type_hints(settings, include_extras=True)
    switch = ""
    for field in dataclasses.fields(settings):
        hint, here = hints[field.name], (*path, field.name)
        kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if any(isinstance(note, Constant) for note in notes):
            continue
        if group := _group(kind if all(isinstance(note, NotInPods) for note in notes) else hint):
            yield from _flags(group, prefix, here, optional=field.default is None)
            continue
        name = "-".join(here).replace("_", "-")
        switch = switch or (f"--{name}" if optional else "")
        also = (note.variable for note in notes if isinstance(note, AlsoFrom))
        yield Flag(
            name=f"--{name}",
            path=here,
            group=(settings.__doc__ or "").rstrip("."),
            help=" ".join(schemas[field.name].get("description", "").split()),
            variables=(prefix + name.replace("-", "_").upper(), *also),
            default=None if (default := _default(field)) is dataclasses.MISSING else _text(default),
            schema=schemas[field.name],
            switch=switch,
        )


def _default(field: dataclasses.Field[Any]) -> Any:
    """Default of a field; MISSING without one."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _group(hint: Any) -> type | None:
    """The dataclass of a field that is a group of flags, which may be optional."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return next((kind for kind in kinds if dataclasses.is_dataclass(kind) and isinstance(kind, type)), None)


def _text(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, Mapping):
        return ",".join(f"{name}={value}" for name, value in default.items())
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return "" if default is None else str(default)


def _value_name(flag: Flag) -> str:
    kinds = [flag.schema, *flag.schema.get("anyOf", ())]
    names = (VALUE_NAMES.get(kind.get("format") or kind.get("type", "")) for kind in kinds)
    return next(filter(None, names), "VALUE")


def _given(flag: Flag, options: argparse.Namespace, environment: Mapping[str, str]) -> _Given:
    text: str | None = getattr(options, flag.name[2:].replace("-", "_"))
    if text is not None:
        return _Given(flag.name, text)
    variable = next((name for name in flag.variables if name in environment), None)
    return _Given(f"{flag.name} (from {variable})", environment[variable]) if variable else _Given(flag.name, None)


def _problem(detail: ErrorDetails, flags: Sequence[Flag], given: Mapping[str, _Given]) -> str:
    flag = next(flag for flag in flags if detail["loc"][: len(flag.path)] == flag.path)
    source, text = given[flag.name]
    if detail["type"] == "missing":
        return f"argument {source}: is {flag.default_text}; set it, or {flag.variables[0]} in the environment"
    return f"argument {source}: {_advice(flag.schema, text or '') or detail['msg'].removeprefix('Value error, ')}"


def _advice(schema: Schema, text: str) -> str:
    """Advice that the schema of the value gives: a number or one of a few words. Only these are quoted here."""
    if "enum" in schema:
        return f"must be one of {', '.join(schema['enum'])}, not {text!r}"
    if schema.get("type") in {"integer", "number"}:
        kind = "a whole number" if schema["type"] == "integer" else "a number"
        return f"must be {kind} from {schema['minimum']:.9g} to {schema['maximum']:.9g}, not {text!r}"
    return ""
