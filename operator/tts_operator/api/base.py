"""Building blocks of the two resources: field conventions, bounded types, and CEL rules beside the fields.

Pydantic checks the shape when the operator reads an object; the API server checks the same shape and the CEL rules when
an object is written. Rules that span fields are only in CEL: the operator trusts what the API server has stored.
The schedule's rules are repeated in Python, because `kubectl tts` reads schedules from files.
"""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic.config import JsonValue

from tts_operator.objects import quantity

VALIDATIONS = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"
INT_OR_STRING = "x-kubernetes-int-or-string"


class APIModel(BaseModel):
    """An API type: camel case in YAML, snake case in Python. Unknown fields are refused.

    `kubectl explain` shows the string below a field.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


class LenientModel(APIModel):
    """An API type that other programs extend: unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore")


def cel(*rules: tuple[str, str]) -> ConfigDict:
    """Class configuration with validation rules: a CEL expression over ``self``, and the message if it is false."""
    return ConfigDict(json_schema_extra={VALIDATIONS: _rules(rules)})


def field_cel(*rules: tuple[str, str]) -> Any:
    """Validation rules of one field; use as ``Annotated[type, field_cel(...)]``."""
    return Field(json_schema_extra={VALIDATIONS: _rules(rules)})


def atomic(*rules: tuple[str, str]) -> Any:
    """Marks a list whose order has a meaning: one field manager owns the whole list."""
    return Field(json_schema_extra={LIST_TYPE: "atomic", **({VALIDATIONS: _rules(rules)} if rules else {})})


def list_map(*keys: str) -> Any:
    """Marks a list that field managers merge by these keys; the API server keeps the keys unique."""
    return Field(json_schema_extra={LIST_TYPE: "map", LIST_MAP_KEYS: list(keys)})


def list_set() -> Any:
    """Marks a list of distinct scalars without an order."""
    return Field(json_schema_extra={LIST_TYPE: "set"})


def unique(key: str, entries: str) -> tuple[str, str]:
    """A rule for an atomic list: no two entries share ``key``."""
    return f"self.all(x, self.exists_one(y, y.{key} == x.{key}))", f"{entries} must have unique {key}s"


def field_path(location: Sequence[int | str]) -> str:
    """The path of a field in pydantic's error, as the API server writes it: ``spec.models[0].name``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).removeprefix(".")


def _rules(rules: tuple[tuple[str, str], ...]) -> list[JsonValue]:
    return [{"rule": rule, "message": message} for rule, message in rules]


LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNSLabel = Annotated[str, StringConstraints(pattern=rf"^{LABEL}$", min_length=1, max_length=63)]
"""RFC 1123 label, as in the name of a namespace."""
SUBDOMAIN = rf"^{LABEL}(\.{LABEL})*$"
ObjectName = Annotated[str, StringConstraints(pattern=SUBDOMAIN, min_length=1, max_length=253)]
"""RFC 1123 subdomain, as in the names of most Kubernetes objects."""
ModelName = Annotated[str, StringConstraints(pattern=rf"^{LABEL}$", min_length=1, max_length=52)]
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
VoiceName = Annotated[str, StringConstraints(pattern=PRINTABLE, min_length=1, max_length=128)]
"""Name of a voice in its engine, in any script."""
Alias = Annotated[str, StringConstraints(pattern=PRINTABLE, min_length=1, max_length=64)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$", max_length=35)]
"""BCP 47 tag: a primary subtag such as ``zh``, or one with a region such as ``en-GB``."""
ImageReference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][!-~]*$", min_length=1, max_length=512)]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00-\x1f\x7f]*$", min_length=1, max_length=256)]


RELATIVE_RULE = (
    "!self.matches('^/|(^|/)[.][.](/|$)')",
    "a path must be relative and stay inside its source",
)


def _inside(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(RELATIVE_RULE[1])
    return path


RelativePath = Annotated[
    str,
    StringConstraints(pattern=PRINTABLE, min_length=1, max_length=256),
    AfterValidator(_inside),
    field_cel(RELATIVE_RULE),
]
"""Path of a file or a directory, relative to the place where a model's files are."""
PREFIX_RULE = (
    "self.split('/').all(part, part != '.' && part != '..')",
    "prefix must not contain . or .. as a path segment",
)


def _without_dot_segments(prefix: str) -> str:
    if {".", ".."}.intersection(prefix.split("/")):
        raise ValueError(PREFIX_RULE[1])
    return prefix


KeyPrefix = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=512),
    AfterValidator(_without_dot_segments),
    field_cel(PREFIX_RULE),
]


Region = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$", min_length=1, max_length=63)
]


def _with_valid_port(address: str) -> str:
    urlsplit(address).port  # noqa: B018 - raises ValueError for port 65536, and for host [1:2]
    return address


AUTHORITY = r"(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(:[1-9][0-9]{0,4})?"
"""Host and port, without user information: credentials belong in a Secret."""
URL = Annotated[
    str,
    StringConstraints(pattern=rf"^https?://{AUTHORITY}([/?#]\S*)?$", max_length=2048),
    AfterValidator(_with_valid_port),
]
Origin = Annotated[
    str,
    StringConstraints(pattern=rf"^https?://{AUTHORITY}/?$", max_length=512),
    AfterValidator(_with_valid_port),
]
"""URL of a server: scheme, host and port, without a path."""
BaseURL = Annotated[
    str,
    StringConstraints(pattern=rf"^https?://{AUTHORITY}(/[^\s?#]*)?$", max_length=512),
    AfterValidator(_with_valid_port),
]
"""URL that others are appended to: a path may follow the host, no query."""
WebOrigin = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*|[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?)(:[1-9][0-9]{0,4})?)$",
        max_length=255,
    ),
    AfterValidator(_with_valid_port),
]
"""Origin of a web page as browsers send it, in lower case, or ``*`` for every origin."""
_NUMBER = "(0x[0-9a-f]*|[0-9]+)"
_END = "([:/?#]|$)"


def _begins(expression: str) -> str:
    """CEL: whether a URL's host begins like this. Matched as a whole: the size of a part of it has no bound for CEL."""
    return f"self.matches('(?i)^https?://{expression}')"


REACHABLE = field_cel(
    (
        f"!{_begins(f'({_NUMBER}[.])*{_NUMBER}[.]?{_END}')} || "
        f"{_begins(f'[1-9][0-9]{{0,2}}([.](0|[1-9][0-9]{{0,2}})){{3}}{_END}')}",
        "the host must be a name or an IP address; an IPv4 address is four decimal numbers",
    ),
    (
        f"!{_begins(f'(127|169[.]254)[.][0-9.]+{_END}')}"
        f" && !{_begins(f'([^/?#:]*[.])?localhost[.]?{_END}')}"
        f" && !{_begins(f'metadata([.]google[.]internal|[.]goog)?[.]?{_END}')}"
        f" && !{_begins('[[]([0:]*:[0:]*1?[]]|fe[89ab][0-9a-f]:|[0:]*:ffff:|[0-9a-f:]*[.])')}",
        "the host must not be a loopback, link-local or metadata address, nor an IPv4 address in the form of IPv6",
    ),
    (f"!{_begins('kubernetes[.]default([.:/?#]|$)')}", "the host must not be the API server"),
)
"""Rules of hosts that pods connect to. `resolve.hosts` has them in full, with those that the platform chooses."""
StoreOrigin = Annotated[Origin, REACHABLE]
KeySetURL = Annotated[
    str,
    StringConstraints(pattern=rf"^https://{AUTHORITY}(/[^\s#]*)?$", max_length=2048),
    AfterValidator(_with_valid_port),
    REACHABLE,
]
Hostname = Annotated[str, StringConstraints(pattern=SUBDOMAIN, max_length=253)]
BucketName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]$", min_length=3, max_length=63)
]
Decimal = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$", max_length=16)]
"""A decimal number as a string: money and scores are never floats."""
Score = Annotated[str, StringConstraints(pattern=r"^(10(\.0{1,6})?|[0-9](\.[0-9]{1,6})?)$", max_length=8)]
"""A decimal number from 0 to 10, as a string."""
QUANTITY_PATTERN = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$"
"""Exponents are at most 99: the API server takes seconds to parse 1e9999999."""
Quantity = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) and not isinstance(value, bool) else value),
    StringConstraints(pattern=QUANTITY_PATTERN, min_length=1, max_length=32),
    # A validator before a pattern keeps pydantic from writing the pattern into the schema.
    Field(json_schema_extra={INT_OR_STRING: True, "pattern": QUANTITY_PATTERN}),
]
"""A Kubernetes quantity, such as ``100m`` or ``4Gi``; a whole number may be written as one."""


def positive(field: str) -> tuple[AfterValidator, Any]:
    """A quantity above 0, here and in CEL."""
    message = f"{field} must be greater than 0"

    def checked(amount: str) -> str:
        if quantity.parse(amount) <= 0:
            raise ValueError(message)
        return amount

    return AfterValidator(checked), field_cel(("quantity(string(self)).isGreaterThan(quantity('0'))", message))


Port = Annotated[int, Field(ge=1, le=65535)]
Replicas = Annotated[int, Field(strict=True, ge=0, le=1000)]


class ObjectReference(APIModel):
    """Reference to an object; the field determines its kind."""

    name: ObjectName
    """Name of the object."""


class LabelSelector(APIModel):
    """Selects objects by their labels: all of them must match."""

    match_labels: Annotated[dict[str, Annotated[str, StringConstraints(max_length=63)]], Field(max_length=32)] = {}
    """Required labels and their values."""


class ObjectMeta(LenientModel):
    """Metadata fields that the operator reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
