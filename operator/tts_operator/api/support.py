"""Valid fields that this version does not support yet.

A tenant or a model that sets one is not accepted: nothing is silently ignored. The tables below are the only list. The
check of a reconcile, the chart's admission policies, the descriptions in the CRDs and a section of the reference pages
all come from them, so that a field becomes supported by removing its row.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from tts_operator.api.model import TTSModelSpec
from tts_operator.api.tenant import Isolation, TTSTenantSpec


class Condition(Protocol):
    """Decides which values of a field are not supported, here and in CEL."""

    def holds(self, value: object) -> bool:
        """Whether this value is not supported; None stands for a field that is not set."""

    def cel(self, field: str) -> str:
        """CEL for `holds`; `field` is an expression whose value is optional."""

    @property
    def values(self) -> tuple[str, ...]:
        """Values that are not supported, as people write them; empty for all."""

    @property
    def phrase(self) -> str:
        """Words after the path of the field that name the values; empty for all."""


@dataclass(frozen=True)
class Present:
    """Any value."""

    values: tuple[str, ...] = ()
    phrase: str = ""

    def holds(self, value: object) -> bool:
        return value is not None

    def cel(self, field: str) -> str:
        return f"{field}.hasValue()"


@dataclass(frozen=True)
class Equals:
    """One value."""

    value: str | int | bool

    def holds(self, value: object) -> bool:
        return value == self.value

    def cel(self, field: str) -> str:
        return f"{field} == optional.of({_literal(self.value)})"

    @property
    def values(self) -> tuple[str, ...]:
        return (_text(self.value),)

    @property
    def phrase(self) -> str:
        return _text(self.value)


@dataclass(frozen=True)
class UnsupportedField:
    """A field, or some of its values, that this version does not support yet."""

    path: str
    """Path from the object's root, as in YAML; `[]` stands for each entry of a list."""
    condition: Condition

    def __str__(self) -> str:
        return f"{self.path} {self.condition.phrase}".rstrip()

    @property
    def values(self) -> tuple[str, ...]:
        """Values that are not supported; empty for all."""
        return self.condition.values

    def is_set(self, spec: BaseModel) -> bool:
        """Whether the spec uses it."""
        _, *names = self.path.split(".")
        return any(self.condition.holds(value) for value in _values(spec, names))

    def cel(self, root: str) -> str:
        """CEL for `is_set`; `root` is the variable that holds the object."""
        first, *names = self.path.split(".")
        return _cel(f"{root}.{first}", names, self.condition)


def unsupported_in_tenant(spec: TTSTenantSpec) -> Iterator[str]:
    """A phrase for each field of a tenant that is set and not supported: its path, and the values if others are."""
    return _phrases(TENANT, spec)


def unsupported_in_model(spec: TTSModelSpec) -> Iterator[str]:
    """A phrase for each field of a model that is set and not supported."""
    return _phrases(MODEL, spec)


def not_supported(phrases: Sequence[str]) -> str:
    """One line that names the unsupported fields and what to do about them."""
    return f"{', '.join(phrases)}: not supported yet; change or remove {'it' if len(phrases) == 1 else 'them'}"


def _phrases(table: Iterable[UnsupportedField], spec: BaseModel) -> Iterator[str]:
    return (str(field) for field in table if field.is_set(spec))


def _values(value: object, names: Sequence[str]) -> Iterator[object]:
    """Values of the field, one for each entry of a list on the way; none where something on the way is not set."""
    if not names:
        yield value
    elif value is not None:
        inner = getattr(value, _attribute(type(value), names[0].removesuffix("[]")))
        for each in inner if names[0].endswith("[]") else (inner,):
            yield from _values(each, names[1:])


def _attribute(model: type, name: str) -> str:
    """Name of the attribute that holds the field of this name in YAML."""
    fields = model.model_fields.items() if issubclass(model, BaseModel) else ()
    return next(attribute for attribute, field in fields if (field.alias or attribute) == name)


def _cel(root: str, names: Sequence[str], condition: Condition) -> str:
    field = root
    for position, name in enumerate(names):
        field += f".?{name.removesuffix('[]')}"
        if name.endswith("[]"):
            return f"{field}.orValue([]).exists(e, {_cel('e', names[position + 1 :], condition)})"
    return condition.cel(field)


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _literal(value: str | int | bool) -> str:
    return f"'{value}'" if isinstance(value, str) else _text(value)


TENANT: tuple[UnsupportedField, ...] = (
    UnsupportedField("spec.isolation", Equals(Isolation.SHARED)),
    UnsupportedField("spec.models[].minReplicas", Equals(0)),
    UnsupportedField("spec.exposure", Present()),
    UnsupportedField("spec.preventDeletion", Equals(True)),
)

MODEL: tuple[UnsupportedField, ...] = (
    UnsupportedField("spec.remote.secretRef", Present()),
    UnsupportedField("spec.accelerator", Present()),
    UnsupportedField("spec.pool", Present()),
)
