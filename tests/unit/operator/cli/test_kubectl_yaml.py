"""What an unquoted scalar means to kubectl. The integration test asks kubectl itself about the same scalars."""

from __future__ import annotations

import pytest

from tts_operator.cli.kubectl_yaml import JSON, YAMLError, load_all

SCALARS: dict[str, JSON] = {
    "22:00": "22:00",  # PyYAML: 1320
    "06:00": "06:00",
    "00:00": "00:00",
    "24:00": "24:00",
    "12:30:45": "12:30:45",
    "190:20:30.15": "190:20:30.15",
    "1_0:00": "1_0:00",
    "2026-11-11": "2026-11-11",  # PyYAML: a date
    "2026-11-11T00:00:00Z": "2026-11-11T00:00:00Z",
    "2026-11-11 10:00:00": "2026-11-11 10:00:00",
    "y": True,  # PyYAML: "y"
    "Y": True,
    "n": False,
    "N": False,
    "yes": True,
    "Yes": True,
    "no": False,
    "NO": False,
    "on": True,
    "off": False,
    "true": True,
    "TRUE": True,
    "tRue": "tRue",
    "False": False,
    "~": None,
    "null": None,
    "Null": None,
    "nUll": "nUll",
    "": None,
    "3": 3,
    "+5": 5,
    "-0": 0,
    "3.0": 3,
    "0.1": 0.1,
    ".5": 0.5,
    "+.5": 0.5,
    "1.": 1,
    "1e3": 1000,
    "1.5e-7": 1.5e-7,
    "1e21": 1e21,
    "1e400": "1e400",
    "1_000": 1000,
    "010": 8,
    "0777": 511,
    "0o10": 8,
    "08": 8,
    "0x1F": 31,
    "-0x1F": -31,
    "0b11": 3,
    "12345678901234567": 12345678901234567,
    "99999999999999999999": 100000000000000000000,
    "=": "=",
    "'22:00'": "22:00",
    '"y"': "y",
    "'5'": "5",
    "!!str 5": "5",
    "!!str y": "y",
    "!!int '5'": 5,
    "!!float 3": 3,
    "!!bool y": True,
    "!!timestamp 2026-11-11": "2026-11-11",
    "!own 5": "5",
    "Mon": "Mon",
    "Asia/Shanghai": "Asia/Shanghai",
}


def load(text: str) -> list[JSON]:
    return list(load_all(text))


@pytest.mark.parametrize(("text", "value"), SCALARS.items(), ids=[repr(text) for text in SCALARS])
def test_a_scalar(text: str, value: JSON) -> None:
    (document,) = load(f"a: {text}")
    assert isinstance(document, dict)
    assert document["a"] == value
    assert type(document["a"]) is type(value)


MAPPINGS: dict[str, tuple[str, JSON]] = {
    "keys become strings": (
        "{1: a, 2.5: b, y: c, n: d, 2026-11-11: e, 22:00: f}",
        {"1": "a", "2.5": "b", "true": "c", "false": "d", "2026-11-11": "e", "22:00": "f"},
    ),
    "a later key wins": ("{a: 1, b: 2, a: 3}", {"a": 3, "b": 2}),
    "an alias repeats its anchor": ("{a: &x {b: 22:00}, c: *x}", {"a": {"b": "22:00"}, "c": {"b": "22:00"}}),
    "a merge replaces what came before it": ("{a: 1, <<: {a: 2, b: 3}, b: 4}", {"a": 2, "b": 4}),
    "of merged mappings the first wins": ("{<<: [{a: 1}, {a: 2, b: 3}]}", {"a": 1, "b": 3}),
    "a quoted merge is a key": ("{'<<': {a: 1}}", {"<<": {"a": 1}}),
    "a block is text": ("a: |\n  22:00\nb: >-\n  y\n", {"a": "22:00\n", "b": "y"}),
}


@pytest.mark.parametrize(("text", "value"), MAPPINGS.values(), ids=MAPPINGS)
def test_a_mapping(text: str, value: JSON) -> None:
    assert load(text) == [value]


def test_empty_documents_are_passed_over() -> None:
    assert load("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]


def test_one_json_object_may_go_before_yaml() -> None:
    assert load('{"a": "22:00"}\n---\na: 22:00\n') == [{"a": "22:00"}, {"a": "22:00"}]


def test_json_may_be_indented_with_tabs_and_repeated() -> None:
    assert load('\ufeff{\n\t"a": "22:00"\n}\n{"b": 1}\n') == [{"a": "22:00"}, {"b": 1}]


REFUSED = {
    "a: [\n": "line 2: expected the node content",
    "a: 1\n b: 2": "line 2: mapping values are not allowed here",
    "a: .inf": "line 1: .inf is no number in JSON",
    "{a: 1,\n ~: 2}": "line 2: a key must be a string, a number or a boolean",
    "a: &x [*x]": "line 1: an anchor's value contains itself",
    "a: !!int soon": "line 1: 'soon' is no int",
    "a: {<<: 5}": "line 1: << merges a mapping",
    '{"a": 1}{"b": 2}{c: 3}': "object 3 is not JSON, but those before it are: Expecting property name",
    "[" * 5000: "nested too deeply",
    "a: \x00": "unacceptable character",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=[repr(text[:12]) for text in REFUSED])
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(YAMLError) as refusal:
        load(text)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
