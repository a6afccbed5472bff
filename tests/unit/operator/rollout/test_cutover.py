"""A tenant's default model changes: callers move to the new pool once it can answer, and not before."""

from __future__ import annotations

import json
from datetime import timedelta

from tests.support.operator_builders import (
    NOON,
    answering,
    child,
    desired,
    falls_back_to,
    observe,
    planned,
    ref,
    resolved,
    settle,
)
from tests.support.resources import Object, model
from tts_operator.objects.labels import POOL_LABEL

SECOND = timedelta(seconds=1)


def selected(children: list[Object]) -> str:
    return str(child(children, "Service", "acme")["spec"]["selector"][POOL_LABEL])


def old_pool() -> list[Object]:
    """A tenant that has served with one model for long."""
    return settle(observe("old"), NOON - timedelta(hours=1))


def test_callers_stay_with_the_old_pool_until_the_new_one_answers() -> None:
    before = old_pool()
    children = settle(observe("new", children=before))
    assert selected(children) == "acme-old"
    answering(child(children, "Deployment", "acme-new"), ready=0)
    later = observe("new", children=children)
    assert planned(later, NOON + timedelta(hours=1)) == []
    assert resolved(later).entry == "acme-old"


def test_a_ready_pool_gets_the_time_to_read_that_it_is_the_entry() -> None:
    children = settle(observe("new", children=old_pool()))
    early = observe("new", children=children)
    assert resolved(early, NOON + SECOND).entry == "acme-old"
    assert resolved(early, NOON + SECOND).requeue_at == NOON + 5 * SECOND
    assert resolved(early, NOON + 5 * SECOND).entry == "acme-new"


def test_the_old_pool_goes_only_after_the_selector_moved() -> None:
    children = settle(observe("new", children=old_pool()))
    moving = planned(observe("new", children=children), NOON + 5 * SECOND)
    assert moving[0] == "apply svc/acme: selector changed"
    assert "delete deploy/acme-old: no longer wanted" in moving


def test_the_old_pool_is_untouched_while_it_retires() -> None:
    before = old_pool()
    children = settle(observe("new", children=before, tier="VIP", schedule={"default": {"minReplicas": 2}}))
    for each in before:
        if each["kind"] in {"Deployment", "HorizontalPodAutoscaler"}:
            assert child(children, each["kind"], "acme-old")["spec"] == each["spec"]
    found = resolved(observe("new", children=children))
    assert [(pool.model_name, pool.role, pool.retiring) for pool in found.pools] == [
        ("new", "Entry", False),
        ("old", "Entry", True),
    ]


def test_two_pools_that_change_places_are_both_entries_until_nobody_can_come_to_the_old_one() -> None:
    children = settle(observe("a", "b"), NOON - timedelta(hours=1))
    swapped = settle(observe("b", "a", children=children))
    assert [pool.role for pool in resolved(observe("b", "a", children=swapped)).pools] == ["Entry", "Entry"]
    moved = settle(observe("b", "a", children=swapped), NOON + 6 * SECOND)
    assert selected(moved) == "acme-b"
    just_after = resolved(observe("b", "a", children=moved), NOON + 7 * SECOND)
    assert [pool.role for pool in just_after.pools] == ["Entry", "Entry"]
    assert just_after.requeue_at == NOON + 11 * SECOND
    at_rest = resolved(observe("b", "a", children=moved), NOON + 11 * SECOND)
    assert [pool.role for pool in at_rest.pools] == ["Entry", "Member"]


def test_a_new_pool_must_bear_the_load_of_the_window_before_it_gets_it() -> None:
    schedule = {"default": {"minReplicas": 3}}
    before = settle(observe("old", schedule=schedule), NOON - timedelta(hours=1))
    children = settle(observe("new", children=before, schedule=schedule))
    answering(child(children, "Deployment", "acme-new"), ready=2)
    assert resolved(observe("new", children=children, schedule=schedule), NOON + 60 * SECOND).entry == "acme-old"


def test_an_old_pool_that_answers_nobody_is_no_reason_to_wait() -> None:
    before = old_pool()
    answering(child(before, "Deployment", "acme-old"), ready=0)
    assert resolved(observe("new", children=before)).entry == "acme-new"


def test_a_suspended_tenant_moves_at_once() -> None:
    assert resolved(observe("new", children=old_pool(), suspend=True)).entry == "acme-new"


def test_a_model_that_is_missing_cannot_become_the_entry() -> None:
    found = resolved(observe("new", known=[], children=old_pool()))
    assert found.entry == "acme-old"
    wanted = desired(observe("new", known=[], children=old_pool()))
    assert "acme-old" in {ref.name for ref in wanted.kept}


def test_an_old_entry_that_stands_by_for_a_model_of_others_goes_on_offering_its_own() -> None:
    """With a file that offers nothing none of its pods would start again."""
    foreign = model("new", allowedNamespaces={"matchLabels": {"team": "b"}}, fallback=falls_back_to("old"))
    wanted = desired(observe("new", known=[foreign, model("old")], children=old_pool()))
    config = ref("ConfigMap", "acme-old-server")
    assert config in wanted.kept
    assert config not in {manifest.ref for manifest in wanted.manifests}


def test_a_pool_where_callers_arrive_lets_them_in_though_another_model_cannot_be_read() -> None:
    """Nothing ever answered for model gone: its tenant lists b instead, and c is missing now, too."""
    running = settle(observe("gone", "b", "c", known=[model("b"), model("c")]), NOON - timedelta(hours=1))
    tenant = observe("b", "c", known=[model("b")], children=running)
    assert selected(settle(tenant)) == "acme-b"
    config = json.loads(child(settle(tenant), "ConfigMap", "acme-b-server")["data"]["server.json"])
    assert (config["role"], [each["name"] for each in config["models"]]) == ("Entry", ["b"])
    assert planned(observe("b", "c", known=[model("b")], children=settle(tenant)), NOON + 6 * SECOND) == []


def test_nothing_that_somebody_writes_into_a_configuration_stops_the_reconcile() -> None:
    for text in ("[" * 100_000, '{"models": ' + "[" * 100_000, "nonsense", "[]"):
        children = old_pool()
        child(children, "ConfigMap", "acme-old-server")["data"]["server.json"] = text
        assert any("acme-old-server" in action for action in planned(observe("old", children=children)))
