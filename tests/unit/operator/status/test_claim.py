"""The owner of a tenant among releases, and the condition that the others write."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.operator_builders import NOON
from tts_operator.objects.labels import RELEASE
from tts_operator.objects.names import MAX_MANAGER_LENGTH, model_status_manager
from tts_operator.status.claim import SINGLE_RELEASE, own_status, owner_of, standby_status

US, THEM = "fleet/tts-operator", "other/tts-operator"


def body(annotated: str = "", claimed: str = "", **status: Any) -> dict[str, Any]:
    annotations = {"annotations": {RELEASE: annotated}} if annotated else {}
    return {
        "metadata": {"name": "acme", "namespace": "team", "generation": 2, **annotations},
        "status": ({"release": claimed} if claimed else {}) | status,
    }


OWNERS: dict[str, tuple[dict[str, Any], str]] = {
    "nobody's": (body(), ""),
    "claimed": (body(claimed=US), US),
    "to be moved": (body(annotated=THEM, claimed=US), THEM),
    "moved": (body(annotated=THEM, claimed=THEM), THEM),
    "named before any claim": (body(annotated=US), US),
    "never reported on": ({"metadata": {"name": "acme"}}, ""),
}


@pytest.mark.parametrize(("tenant", "owner"), OWNERS.values(), ids=OWNERS)
def test_a_tenant_has_one_owner(tenant: dict[str, Any], owner: str) -> None:
    assert owner_of(tenant) == owner


def test_who_stays_away_says_so_once() -> None:
    first = standby_status(body(claimed=US), NOON)
    assert first is not None
    (condition,) = first["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        SINGLE_RELEASE,
        "False",
        "ClaimedByAnotherRelease",
    )
    assert condition["message"] == (
        "the tenant belongs to release fleet/tts-operator of the operator; another release watches namespace team too,"
        " and stays away: give each release namespaces of its own, or move the tenant with `kubectl annotate ttst acme"
        " -n team ttsfleet.io/release=NAMESPACE/LEASE --overwrite`"
    )
    assert standby_status(body(claimed=US, **first), NOON + timedelta(hours=1)) is None


def test_who_stays_away_says_when_the_owner_is_another() -> None:
    first = standby_status(body(claimed=US), NOON)
    assert first is not None
    moved = standby_status(body(claimed=THEM, **first), NOON + timedelta(hours=1))
    assert moved is not None
    assert moved["conditions"][0]["lastTransitionTime"] == first["conditions"][0]["lastTransitionTime"]


def test_the_owner_compares_without_the_others_condition() -> None:
    ready = {"type": "Ready", "status": "True"}
    others = {"type": SINGLE_RELEASE, "status": "False"}
    assert own_status({"release": US, "conditions": [ready, others]}) == {"release": US, "conditions": [ready]}
    assert own_status({}) == {}


def test_releases_have_field_managers_of_their_own_of_bounded_length() -> None:
    long = "n" * 63 + "/" + "l" * 253
    names = {model_status_manager(release) for release in (US, THEM, long, long + "x")}
    assert len(names) == 4
    assert max(map(len, names)) <= MAX_MANAGER_LENGTH


def test_the_waker_s_requests_are_no_part_of_what_a_release_writes() -> None:
    """Else it would write its status again after each of them, for ever."""
    assert own_status({"activeWindow": "night", "wake": {"requestedAt": "2026-11-05T02:00:00Z"}}) == {
        "activeWindow": "night"
    }
