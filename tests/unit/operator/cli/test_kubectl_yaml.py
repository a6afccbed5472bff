"""YAML is read as kubectl reads it. The integration test asks kubectl itself about the same scalars."""

from __future__ import annotations

import pytest

from tests.support.yaml_cases import MAPPINGS, SCALARS
from tts_operator.cli.kubectl_yaml import JSON, YAMLError, load_all


def load(text: str) -> list[JSON]:
    return list(load_all(text))


@pytest.mark.parametrize(("text", "value"), SCALARS.items(), ids=[repr(text) for text in SCALARS])
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
