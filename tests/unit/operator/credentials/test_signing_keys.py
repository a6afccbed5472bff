"""Keys are published before they sign, and kept until the last token of theirs is over, whenever somebody looks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from tts_operator.credentials.signing_keys import (
    LONG_AGO,
    PERIOD,
    PUBLISH_AFTER,
    PUBLISH_BEFORE,
    KeyRotation,
    SigningKeys,
    created_at,
    due,
    generate,
    kid_of,
    rotation,
)

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
TOKEN = timedelta(minutes=5)
"""Lifetime of a token, and of a published key set at a client that fetched it."""


def step(stored: SigningKeys, now: datetime) -> KeyRotation:
    """One reconcile."""
    if (kid := due(stored, now)) is not None:
        stored = replace(stored, keys={**stored.keys, kid: f"key of {kid}"})
    return rotation(stored, now)


def test_the_first_key_signs_at_once() -> None:
    found = step(SigningKeys(), START)
    assert found.keys == SigningKeys({kid_of(START): f"key of {kid_of(START)}"}, kid_of(START), START)
    assert found.requeue_at == START + PERIOD


def test_a_key_is_announced_then_signs_then_stands_alone() -> None:
    first = step(SigningKeys(), START).keys
    begun = START + PERIOD
    announced = step(first, begun)
    assert sorted(announced.keys.keys) == [kid_of(START), kid_of(begun)]
    assert announced.keys.current == kid_of(START)
    assert announced.requeue_at == begun + PUBLISH_BEFORE
    signing = step(announced.keys, announced.requeue_at)
    assert signing.keys.current == kid_of(begun)
    assert len(signing.keys.keys) == 2
    assert signing.requeue_at == begun + PUBLISH_BEFORE + PUBLISH_AFTER
    alone = step(signing.keys, signing.requeue_at)
    assert list(alone.keys.keys) == [kid_of(begun)]
    assert alone.requeue_at == begun + PERIOD


def test_a_key_that_somebody_put_there_is_replaced_in_the_usual_steps() -> None:
    theirs = SigningKeys({"handmade": "PEM"}, "handmade")
    announced = step(theirs, START).keys
    assert announced.current == "handmade"
    assert set(announced.keys) == {"handmade", kid_of(START)}


def test_a_secret_without_a_note_keeps_everything_for_another_overlap() -> None:
    old, new = kid_of(START - PERIOD), kid_of(START - timedelta(days=1))
    found = rotation(SigningKeys({old: "a", new: "b"}, new), START)
    assert (found.keys.current, found.keys.since, set(found.keys.keys)) == (new, START, {old, new})


def test_a_clock_that_was_set_back_takes_no_key_back() -> None:
    first = step(SigningKeys(), START).keys
    second = step(step(first, START + PERIOD).keys, START + PERIOD + PUBLISH_BEFORE).keys
    assert step(second, START + PERIOD).keys.current == second.current


@given(st.lists(st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=45)), min_size=1, max_size=30))
def test_every_token_and_every_key_set_is_good_whenever_the_operator_looks(pauses: list[timedelta]) -> None:
    """However long the operator was away: what signed a moment ago still checks, what signs was published before."""
    now, keys = START, step(SigningKeys(), START).keys
    published = dict.fromkeys(keys.keys, START)
    signed_until: dict[str, datetime] = {}
    for pause in pauses:
        now += pause
        signed_until[keys.current] = now
        keys = step(keys, now).keys
        for kid in keys.keys:
            published.setdefault(kid, now)
        assert keys.current in keys.keys
        if keys.current != kid_of(START):
            assert now - published[keys.current] >= TOKEN, "callers' key sets may lack it"
        for kid, until in signed_until.items():
            assert kid in keys.keys or now - until >= TOKEN, "a token that is still good would be refused"


def test_it_looks_again_when_something_is_due_and_then_there_is_nothing_left_to_do_before() -> None:
    keys, now = step(SigningKeys(), START).keys, START
    for _ in range(12):
        found = step(keys, now)
        assert found.requeue_at > now
        keys, now = found.keys, found.requeue_at
    assert now - START > 3 * PERIOD


def test_a_generated_key_is_one_that_the_server_takes() -> None:
    key = load_pem_private_key(generate().encode(), None)
    assert key.key_size == 2048  # type: ignore[union-attr]


def test_a_key_is_named_after_the_instant_at_which_it_was_made() -> None:
    assert created_at(kid_of(START)) == START


@pytest.mark.parametrize("kid", ["99991231T235959Z", "30000101T000000Z"])
def test_a_name_from_the_end_of_the_calendar_is_nobodys_date(kid: str) -> None:
    assert created_at(kid) == LONG_AGO
    stored = SigningKeys({kid: "pem", kid_of(START): "pem"}, kid_of(START), START)
    assert rotation(stored, START).keys.current == kid_of(START)
