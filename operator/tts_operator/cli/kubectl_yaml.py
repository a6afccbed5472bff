"""Reads YAML as kubectl does, so that a file means here what it means to `kubectl apply`.

kubectl turns YAML into JSON with sigs.k8s.io/yaml, whose scalars are those of go-yaml v2: a mixture of YAML 1.1 and
1.2. PyYAML follows YAML 1.1, where `22:00` is the number 1320 and `2026-11-11` a date; go-yaml reads both as strings,
and `y` and `n` as booleans, which PyYAML reads as strings. Here PyYAML only parses; `resolve` decides the type of an
unquoted scalar, after `resolve.go` and `decode.go` of go.yaml.in/yaml/v2.

A file from a stranger cannot exhaust time or memory: depth, the number of values and what aliases add are limited.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Generator, Iterable, Iterator
from typing import TypeAlias

import yaml

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"


MAX_YAML_CHARACTERS = 3 << 20
"""Size of YAML, as much as the API server accepts in one request. JSON parses 50 times faster and may be larger."""
MAX_DEPTH = 150
"""Lists and mappings within each other. pydantic reads JSON of up to 200; a large CRD has about 60."""
MAX_VALUES = 50_000
"""Values of a file in YAML, keys included; each takes about a kilobyte while it is parsed."""
MAX_ALIASED_CHARACTERS = 1 << 20
"""JSON that aliases may add by repeating what they name, characters."""
PUNCTUATION = 8
"""Characters of JSON around a value, at most."""


class YAMLError(ValueError):
    """Text that is not YAML, that JSON cannot express, or that exceeds a limit. The message names the line if known."""


def load_all(text: str) -> Iterator[JSON]:
    """Every document of the text that is not empty, as the JSON that kubectl would send. Raises YAMLError."""
    text = text.removeprefix("\ufeff")
    if text.lstrip().startswith("{"):
        text = yield from _leading_json(text)
    if len(text) > MAX_YAML_CHARACTERS:
        raise YAMLError(f"more than {MAX_YAML_CHARACTERS >> 20} MiB; JSON may be larger: kubectl get -o json")
    converter = _Converter()
    try:
        for node in yaml.compose_all(text, Loader=_Composer):
            document = converter.value(node)
            if document is not None:
                yield document
    except yaml.YAMLError as error:
        raise YAMLError(_one_line(error)) from error


def resolve(text: str) -> str | int | float | bool | None:
    """Value of an unquoted scalar, as in go-yaml v2's `resolve`. Base 60 and dates stay strings."""
    if text in _WORDS:
        return _WORDS[text]
    digits = text.replace("_", "") if text[0] in "+-0123456789" else text
    if len(digits) <= LONGEST_INTEGER and _INTEGER.fullmatch(digits):
        integer = _integer(digits)
        if -(2**63) <= integer < 2**63:
            return integer
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        if math.isfinite(number):
            # JSON has one kind of number: Go writes 3.0 as 3, and from 1e21 on writes an exponent.
            return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return text


_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
LONGEST_INTEGER = 100
"""Characters; 64 bits in base 2 take 67. Python refuses to convert thousands of digits."""
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def _integer(digits: str) -> int:
    """Go's `strconv.ParseInt` in base 0: 0x, 0b, 0o, and a leading 0 alone, which is octal too."""
    octal = re.fullmatch(r"([-+]?)0([0-7]+)", digits)
    return int(f"{octal[1]}{octal[2]}", 8) if octal else int(digits, 0)


_PLAIN = "plain"
_TAG = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    f"{_TAG}int": (int,),
    f"{_TAG}float": (int, float),
    f"{_TAG}bool": (bool,),
    f"{_TAG}null": (type(None),),
}


class _Composer(yaml.SafeLoader):
    """Composes nodes up to the limits. Plain scalars carry the tag `plain`, which PyYAML would resolve at once."""

    _depth = 0
    _values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]  # its stub lacks types
        self._depth += 1
        self._values += 1
        if self._depth > MAX_DEPTH:
            raise YAMLError(f"line {line}: nested more than {MAX_DEPTH} levels deep")
        if self._values > MAX_VALUES:
            raise YAMLError(f"line {line}: more than {MAX_VALUES} values; JSON may have more: kubectl get -o json")
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: tuple[bool, bool] | bool) -> str:
        if kind is yaml.ScalarNode and isinstance(implicit, tuple) and implicit[0]:
            return _PLAIN
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


def _leading_json(text: str) -> Generator[JSON, None, str]:
    """Reads objects as JSON, in which a tab may indent, as long as the text begins with one; returns the rest.

    After two objects the stream is JSON to its end, as in apimachinery's `YAMLOrJSONDecoder`.
    """
    decoder = json.JSONDecoder(parse_int=_json_integer, parse_float=_json_number, parse_constant=_json_number)
    count, position = 0, _after_space(text, 0)
    while position < len(text):
        try:
            document, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            if count > 1:
                raise YAMLError(f"object {count + 1} is not JSON, but those before it are: {error}") from error
            break
        if _depth(document) > MAX_DEPTH:
            raise YAMLError(f"object {count + 1}: nested more than {MAX_DEPTH} levels deep")
        count += 1
        yield document
        position = _after_space(text, end)
    return text[position:]


def _after_space(text: str, position: int) -> int:
    found = _NOT_SPACE.search(text, position)
    return found.start() if found else len(text)


_NOT_SPACE = re.compile(r"\S")


def _json_integer(digits: str) -> int:
    if len(digits) > LONGEST_INTEGER:
        raise ValueError("a number has too many digits")
    return int(digits)


def _json_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a number in JSON")
    return number


def _depth(document: JSON) -> int:
    depth, level = 0, [document]
    while level := [part for value in level if isinstance(value, dict | list) for part in _parts(value)]:
        depth += 1
    return depth


def _parts(value: dict[str, JSON] | list[JSON]) -> Iterable[JSON]:
    return value.values() if isinstance(value, dict) else value


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or 'not YAML'}"
    return " ".join(str(error).split())


class _Converter:
    """Converts nodes to JSON. An alias is a second visit of a node; what such visits add is limited."""

    def __init__(self) -> None:
        self._visited: set[yaml.Node] = set()
        self._aliased_characters = 0

    def value(self, node: yaml.Node, inside: tuple[yaml.Node, ...] = ()) -> JSON:
        if node in inside:
            raise _refusal(node, "an anchor's value contains itself")
        if len(inside) > MAX_DEPTH:  # aliases nest deeper than the text does
            raise _refusal(node, f"nested more than {MAX_DEPTH} levels deep")
        if node in self._visited:
            self._aliased_characters += PUNCTUATION + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
            if self._aliased_characters > MAX_ALIASED_CHARACTERS:
                raise _refusal(node, f"aliases repeat more than {MAX_ALIASED_CHARACTERS} characters")
        self._visited.add(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, (*inside, node))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*inside, node)) for item in node.value]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, inside: tuple[yaml.Node, ...]) -> JSON:
        """In order: a later key replaces an earlier equal one, and so does what `<<` merges in."""
        mapping: dict[str, JSON] = {}
        for key, value in node.value:
            if key.tag == _PLAIN and key.value == "<<":
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for source in reversed(sources):  # of several sources the first wins
                    merged = self.value(source, inside)
                    if not isinstance(merged, dict):
                        raise _refusal(source, "<< merges a mapping, or a list of mappings")
                    mapping.update(merged)
            else:
                mapping[self._key(key, inside)] = self.value(value, inside)
        return mapping

    def _key(self, node: yaml.Node, inside: tuple[yaml.Node, ...]) -> str:
        value = self.value(node, inside)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            return str(value)
        raise _refusal(node, "a key must be a string, a number or a boolean")


def _scalar(node: yaml.Node) -> JSON:
    text: str = node.value
    if node.tag != _PLAIN and node.tag not in _TYPES:
        return text
    value = resolve(text)
    if node.tag in _TYPES and not isinstance(value, _TYPES[node.tag]):
        raise _refusal(node, f"{_shortened(text)} is not of type {node.tag.removeprefix(_TAG)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise _refusal(node, f"{text} is not a number in JSON")
    return value


def _shortened(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:57]!r}..."


def _refusal(node: yaml.Node, message: str) -> YAMLError:
    return YAMLError(f"line {node.start_mark.line + 1}: {message}")
