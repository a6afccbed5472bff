"""A model's change concerns the tenants that name it."""

from __future__ import annotations

from typing import Any

import pytest

from tts_operator.controller.model_index import Fallbacks, ModelIndex, named_fallback, named_models
from tts_operator.objects.keys import Key

ACME, BETA = Key("team-a", "acme"), Key("team-b", "beta")


def test_a_model_is_used_by_those_that_name_it() -> None:
    model_index = ModelIndex()
    model_index.record(ACME, ["espeak", "piper"])
    model_index.record(BETA, ["espeak"])
    assert model_index.tenants("espeak") == {ACME, BETA}
    assert model_index.tenants("piper") == {ACME}
    assert model_index.tenants("unheard-of") == frozenset()


def test_it_tells_which_models_gained_or_lost_a_user() -> None:
    model_index = ModelIndex()
    assert model_index.record(ACME, ["espeak"]) == {"espeak"}
    assert model_index.record(ACME, ["espeak"]) == frozenset()
    assert model_index.record(ACME, ["piper"]) == {"espeak", "piper"}
    assert model_index.record(ACME, ()) == {"piper"}
    assert model_index.tenants("piper") == frozenset()


def test_the_full_list_replaces_what_was_missed() -> None:
    model_index = ModelIndex()
    model_index.record(ACME, ["espeak"])
    model_index.list_started()
    model_index.replace({BETA: ["espeak"]})
    assert model_index.tenants("espeak") == {BETA}


def test_what_is_seen_while_it_is_listed_is_newer_than_the_list() -> None:
    model_index, links = ModelIndex(), Fallbacks()
    model_index.record(ACME, ["espeak"])
    links.record("a", "b")
    model_index.list_started()
    links.list_started()
    model_index.record(ACME, ["piper"])
    model_index.record(BETA, ())
    links.record("a", None)
    links.record("x", "y")
    model_index.replace({ACME: ["espeak"], BETA: ["espeak"]})
    links.replace({"a": "b"})
    assert model_index.tenants("espeak") == frozenset()
    assert model_index.tenants("piper") == {ACME}
    assert links.dependents("b") == frozenset()
    assert links.dependents("y") == {"x"}


@pytest.mark.parametrize(
    "tenant", [{}, {"spec": None}, {"spec": {"models": None}}, {"spec": {"models": ["espeak", {"precision": "fp32"}]}}]
)
def test_an_odd_tenant_names_no_models(tenant: dict[str, object]) -> None:
    assert named_models(tenant) == frozenset()


def test_a_model_concerns_everybody_whose_chain_leads_to_it() -> None:
    links = Fallbacks()
    for model, fallback in {"a": "b", "b": "c", "x": "c", "y": "z"}.items():
        links.record(model, fallback)
    assert links.dependents("c") == {"a", "b", "x"}
    assert links.dependents("a") == frozenset()
    links.record("b", None)
    assert links.dependents("c") == {"x"}
    links.list_started()
    links.replace({"a": "b", "b": "a"})
    assert links.dependents("a") == {"b"}, "a circle has an end"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"spec": {"fallback": {"modelRef": {"name": "b"}}}}, "b"),
        ({"spec": {}}, None),
        ({}, None),
        ({"spec": {"fallback": "b"}}, None),
        ({"spec": {"fallback": {"modelRef": {"name": 3}}}}, None),
    ],
)
def test_a_fallback_is_read_however_odd_the_model_is(model: dict[str, Any], expected: str | None) -> None:
    assert named_fallback(model) == expected
