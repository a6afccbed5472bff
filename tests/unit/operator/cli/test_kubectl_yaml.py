"""YAML is read as kubectl reads it. The integration test asks kubectl itself about the same scalars."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from tests.support.yaml_cases import MAPPINGS, SCALARS
from tts_operator.cli.kubectl_yaml import JSON, MAX_DEPTH, YAMLError, load_all


def load(text: str) -> list[JSON]:
    return list(load_all(text))


@pytest.mark.parametrize(("text", "value"), SCALARS.items(), ids=[repr(text[:30]) for text in SCALARS])
def test_a_scalar(text: str, value: JSON) -> None:
    (document,) = load(f"a: {text}")
    assert isinstance(document, dict)
    assert document["a"] == value
    assert type(document["a"]) is type(value)


@pytest.mark.parametrize(("text", "value"), MAPPINGS.values(), ids=MAPPINGS)
def test_a_mapping(text: str, value: JSON) -> None:
    assert load(text) == [value]


def test_empty_documents_are_passed_over() -> None:
    assert load("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]


def test_one_json_object_may_go_before_yaml() -> None:
    assert load('{"a": "22:00"}\n---\na: 22:00\n') == [{"a": "22:00"}, {"a": "22:00"}]


def test_json_may_be_indented_with_tabs_and_repeated() -> None:
    assert load('\ufeff{\n\t"a": "22:00"\n}\n{"b": 1}\n') == [{"a": "22:00"}, {"b": 1}]


BOMB_SECONDS = 5
"""CPU time: under a second on a quiet machine, and minutes without the limits."""
REFUSED = {
    "a: [\n": "line 2: expected the node content",
    "a: 1\n b: 2": "line 2: mapping values are not allowed here",
    "a: .inf": "line 1: .inf is not a number in JSON",
    "{a: 1,\n ~: 2}": "line 2: a key must be a string, a number or a boolean",
    "a: &x [*x]": "line 1: an anchor's value contains itself",
    "a: !!int soon": "line 1: 'soon' is not of type int",
    "a: {<<: 5}": "line 1: << merges a mapping",
    '{"a": 1}{"b": 2}{c: 3}': "object 3 is not JSON, but those before it are: Expecting property name",
    f"a: !!int {'x' * 100}": f"line 1: '{'x' * 57}'... is not of type int",
    '{"a": 1}{"b": 2}{"c": 1e999}': "object 3 is not JSON, but those before it are: 1e999 is not a number in JSON",
    "a: \x00": "unacceptable character",
    "- a\n" * 51_000: "line 50000: more than 50000 values",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=[repr(text[:12]) for text in REFUSED])
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(YAMLError) as refusal:
        load(text)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_number_too_large_for_json_is_text_as_in_yaml() -> None:
    assert load('{"a": 1e999}') == [{"a": "1e999"}]
    assert load(f'{{"a": {"9" * 5000}}}') == [{"a": "9" * 5000}]


def nested_aliases(*, width: int, depth: int, begin: str, end: str, leaf: str) -> str:
    """A billion laughs: each line repeats the line before it `width` times."""
    lines = [f"a0: &a0 {begin}{leaf}{end}"]
    for level in range(1, depth):
        parts = [f"k{part}: *a{level - 1}" if begin == "{" else f"*a{level - 1}" for part in range(width)]
        lines.append(f"a{level}: &a{level} {begin}{', '.join(parts)}{end}")
    return "\n".join(lines)


BOMBS: dict[str, tuple[str, str]] = {
    "lists of aliases": (
        nested_aliases(width=10, depth=10, begin="[", end="]", leaf="lol"),
        "aliases repeat more than 1048576 characters",
    ),
    "mappings of aliases": (
        nested_aliases(width=10, depth=10, begin="{", end="}", leaf="lol: lol"),
        "aliases repeat more than 1048576 characters",
    ),
    "merges of merges": (
        "\n".join(
            [
                "a0: &a0 {x: 1}",
                *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], y{n}: 1}}" for n in range(1, 10)),
            ]
        ),
        "aliases repeat more than 1048576 characters",
    ),
    "a long text, many times": (
        f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 1000)}]",
        "aliases repeat more than 1048576 characters",
    ),
    "a long chain of aliases": (
        nested_aliases(width=1, depth=2000, begin="[", end="]", leaf="x"),
        "nested more than 150 levels deep",
    ),
    "a list in a list": ("[" * 100_000, "line 1: nested more than 150 levels deep"),
    "a mapping in a mapping": ("{a: " * 100_000, "line 1: nested more than 150 levels deep"),
    "dashes": ("- " * 100_000, "line 1: nested more than 150 levels deep"),
    "question marks": ("? " * 100_000, "line 1: nested more than 150 levels deep"),
    "indented lines": ("\n".join(" " * n + "a:" for n in range(2000)), "line 150: nested more than 150 levels deep"),
    "JSON in JSON": ('{"a":' * 900 + "1" + "}" * 900, "object 1: nested more than 150 levels deep"),
    "JSON that nests deeper than Python does": ('{"a":' * 100_000, "line 1: nested more than 150 levels deep"),
}


@pytest.mark.parametrize(("text", "message"), BOMBS.values(), ids=BOMBS)
def test_what_would_exhaust_the_machine_ends_within_a_second(text: str, message: str) -> None:
    begin = time.process_time()
    with pytest.raises(YAMLError) as refusal:
        load(text)
    assert time.process_time() - begin < BOMB_SECONDS
    assert message in str(refusal.value)


def test_a_bomb_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(YAMLError):
            load(BOMBS["lists of aliases"][0])
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_objects_one_after_another_are_read_in_linear_time() -> None:
    begin = time.process_time()
    assert len(load("{} " * 200_000)) == 200_000
    assert time.process_time() - begin < BOMB_SECONDS


def test_documents_below_the_limits_are_read() -> None:
    depth = MAX_DEPTH - 1
    assert load("[" * depth + "]" * depth) != []
    assert load('{"a":' * depth + "{}" + "}" * depth) != []
    aliases = f"a: &a {'x' * 1000}\nb: [{', '.join(['*a'] * 1000)}]"
    assert load(aliases) == [{"a": "x" * 1000, "b": ["x" * 1000] * 1000}]
