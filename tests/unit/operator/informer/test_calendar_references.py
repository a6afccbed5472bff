"""Which TTSCalendars a stored tenant refers to, whatever somebody has written into it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tts_operator.informer.calendar_references import named_calendars


def spec(*names: object) -> dict[str, Any]:
    exceptions = [{"name": "holidays", "calendarRef": {"name": name}} for name in names]
    return {"schedule": {"exceptions": exceptions}}


def test_those_of_the_spec_and_of_the_last_accepted_one_count() -> None:
    """While the stored spec is refused the other one is followed, with its calendars."""
    tenant = {"metadata": {}, "spec": spec("de", "fr"), "status": {"acceptedSpec": json.dumps(spec("cn"))}}
    assert named_calendars(tenant) == {"de", "fr", "cn"}


@pytest.mark.parametrize(
    "tenant",
    [
        {},
        {"spec": None},
        {"spec": {"schedule": None}},
        {"spec": {"schedule": {"exceptions": "calendarRef"}}},
        {"spec": {"schedule": {"exceptions": [None, {}, {"calendarRef": "de"}, {"calendarRef": {"name": 3}}]}}},
        {"status": {"acceptedSpec": "calendarRef {"}},
        {"status": {"acceptedSpec": '"calendarRef"'}},
    ],
)
def test_a_tenant_that_is_no_valid_one_refers_to_none(tenant: dict[str, Any]) -> None:
    assert named_calendars(tenant) == frozenset()
