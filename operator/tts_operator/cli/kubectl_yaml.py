"""Reads YAML as kubectl does, so that a file means here what it means to `kubectl apply`.

kubectl turns YAML into JSON with sigs.k8s.io/yaml, whose scalars are those of go-yaml v2: a mixture of YAML 1.1 and
1.2 of its own. PyYAML follows YAML 1.1, where `22:00` is the number 1320 and `2026-11-11` a date; to go-yaml both are
strings, while `y` and `n` are true and false to go-yaml and strings to PyYAML. Here PyYAML only parses; what an
unquoted scalar means is decided below, after `resolve.go` and `decode.go` of go.yaml.in/yaml/v2.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Generator, Iterator
from typing import TypeAlias

import yaml

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"


class YAMLError(ValueError):
    """The text is not YAML, or holds what JSON cannot say. The message names the line where it is known."""


def load_all(text: str) -> Iterator[JSON]:
    """Every document of the text that is not empty, as the JSON that kubectl would send. Raises YAMLError."""
    text = text.removeprefix("\ufeff")
    if text.lstrip().startswith("{"):
        text = yield from _leading_json(text)
    try:
        for node in yaml.compose_all(text, Loader=_Composer):
            document = _value(node, ())
            if document is not None:
                yield document
    except yaml.YAMLError as error:
        raise YAMLError(_one_line(error)) from error
    except RecursionError as error:
        raise YAMLError("nested too deeply") from error


def resolve(text: str) -> str | int | float | bool | None:
    """What an unquoted scalar means, as in go-yaml v2's `resolve`. No base 60, no dates: those stay strings."""
    if text in _WORDS:
        return _WORDS[text]
    digits = text.replace("_", "") if text[0] in "+-0123456789" else text
    if _INTEGER.fullmatch(digits):
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
    """Keeps apart what PyYAML would resolve at once: plain scalars carry the tag `plain`, quoted ones `!!str`."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: tuple[bool, bool] | bool) -> str:
        if kind is yaml.ScalarNode and isinstance(implicit, tuple) and implicit[0]:
            return _PLAIN
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]  # its stub lacks types


def _leading_json(text: str) -> Generator[JSON, None, str]:
    """What begins with a brace is tried as JSON, in which a tab may indent; returns the rest, which is YAML.

    After two objects the stream is JSON to its end, as in apimachinery's `YAMLOrJSONDecoder`.
    """
    decoder = json.JSONDecoder()
    count, position = 0, 0
    while text := text[position:].lstrip():
        try:
            document, position = decoder.raw_decode(text)
        except (json.JSONDecodeError, RecursionError) as error:
            if count > 1:
                raise YAMLError(f"object {count + 1} is not JSON, but those before it are: {error}") from error
            break
        count += 1
        yield document
    return text


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or 'not YAML'}"
    return " ".join(str(error).split())


def _value(node: yaml.Node, inside: tuple[yaml.Node, ...]) -> JSON:
    if node in inside:
        raise _refusal(node, "an anchor's value contains itself")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, (*inside, node))
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*inside, node)) for item in node.value]
    return _scalar(node)


def _mapping(node: yaml.MappingNode, inside: tuple[yaml.Node, ...]) -> JSON:
    """In order: a later key replaces an earlier equal one, and so does what `<<` merges in."""
    mapping: dict[str, JSON] = {}
    for key, value in node.value:
        if key.tag == _PLAIN and key.value == "<<":
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in reversed(sources):  # of several sources the first wins
                merged = _value(source, inside)
                if not isinstance(merged, dict):
                    raise _refusal(source, "<< merges a mapping, or a list of them")
                mapping.update(merged)
        else:
            mapping[_key(key, inside)] = _value(value, inside)
    return mapping


def _key(node: yaml.Node, inside: tuple[yaml.Node, ...]) -> str:
    value = _value(node, inside)
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
        raise _refusal(node, f"{text!r} is no {node.tag.removeprefix(_TAG)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise _refusal(node, f"{text} is no number in JSON")
    return value


def _refusal(node: yaml.Node, message: str) -> YAMLError:
    return YAMLError(f"line {node.start_mark.line + 1}: {message}")
