"""Ceilings of a namespace: by its labels, else by the operator's defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator_builders import (
    DAY,
    NOON,
    SETTINGS,
    built,
    child,
    observe,
    resolved,
    settle,
    while_refused,
)
from tests.support.resources import model, precision
from tts_operator.api.tenant import Tier
from tts_operator.calendar.bounds import Bounds
from tts_operator.plan.outcome import Outcome
from tts_operator.plan.plan import plan
from tts_operator.resolve.ceilings import ceilings_of
from tts_operator.resolve.resolve import resolve
from tts_operator.resolve.resolved import Resolved
from tts_operator.settings import DefaultCeilings
from tts_operator.status.tenant import status

DEFAULTS = DefaultCeilings(max_tier=Tier.VIP, max_replicas=20, max_accelerators=8)
GPU = model("gpu", precisions=[precision("fp16", **{"nvidia.com/gpu": "2"})])
BOTH = model("both", precisions=[precision("fp32", **{"nvidia.com/gpu": "2"}), precision("int8")])
SLICES = model("slices", precisions=[precision("fp16", **{"nvidia.com/mig-1g.5gb": "2", "example.com/npu": "1"})])


def label(name: str, value: str) -> dict[str, str]:
    return {f"ttsfleet.io/{name}": value}


LABELS: dict[str, tuple[dict[str, str], tuple[str, int, int], list[str]]] = {
    # the story: (labels, the ceilings, beginnings of the problems)
    "none": ({}, ("VIP", 20, 8), []),
    "a lower tier": (label("max-tier", "Basic"), ("Basic", 20, 8), []),
    "a higher tier than the default": (label("max-tier", "Enterprise"), ("Enterprise", 20, 8), []),
    "a tier in lower case": (
        label("max-tier", "basic"),
        ("VIP", 20, 8),
        ["namespace label ttsfleet.io/max-tier must be one of Basic, VIP, Enterprise; until then"],
    ),
    "replicas": (label("max-replicas", "007"), ("VIP", 7, 8), []),
    "more replicas than the default": (label("max-replicas", "999999999"), ("VIP", 999_999_999, 8), []),
    "zero replicas": (label("max-replicas", "0"), ("VIP", 20, 8), ["namespace label ttsfleet.io/max-replicas must"]),
    "a number with ten digits": (
        label("max-replicas", "1000000000"),
        ("VIP", 20, 8),
        ["namespace label ttsfleet.io/max-replicas must"],
    ),
    "no value": (label("max-replicas", ""), ("VIP", 20, 8), ["namespace label ttsfleet.io/max-replicas must"]),
    "no accelerators": (label("max-accelerators", "0"), ("VIP", 20, 0), []),
    "accelerators in another script": (
        label("max-accelerators", "٣"),
        ("VIP", 20, 8),
        ["namespace label ttsfleet.io/max-accelerators must be a whole number from 0"],
    ),
}


@pytest.mark.parametrize(("labels", "ceilings", "problems"), LABELS.values(), ids=LABELS)
def test_a_label_takes_precedence_and_one_that_means_nothing_is_told(
    labels: dict[str, str], ceilings: tuple[str, int, int], problems: list[str]
) -> None:
    found = ceilings_of(labels, DEFAULTS)
    assert (found.tier, found.replicas, found.accelerators) == ceilings
    assert [problem.reason for problem in found.problems] == ["CeilingInvalid"] * len(problems)
    assert all(map(str.startswith, (problem.message for problem in found.problems), problems))


def with_defaults(*models: Any, labels: dict[str, str] | None = None, **spec: Any) -> Resolved:
    observed = observe(*models, labels=labels, known=[model(), GPU, BOTH, SLICES], **spec)
    return resolve(observed, replace(SETTINGS, ceilings=DEFAULTS), NOON)


def test_the_default_tier_holds_without_a_label() -> None:
    refused = with_defaults(tier="Enterprise").refused
    assert refused == (
        "TierNotAllowed",
        "spec.tier Enterprise is above VIP, which the operator's default for namespaces without the label"
        " ttsfleet.io/max-tier allows",
    )
    assert with_defaults(tier="Enterprise", labels=label("max-tier", "Enterprise")).refused is None


def test_the_default_number_of_replicas_holds_without_a_label() -> None:
    schedule = {"default": {"minReplicas": 2, "maxReplicas": 30}}
    found = with_defaults(schedule=schedule)
    assert found.pools[0].bounds == Bounds(2, 20)
    assert [note.message for note in found.notes] == [
        "maxReplicas 30 of espeak exceeds the operator's default for namespaces without the label"
        " ttsfleet.io/max-replicas: 20 applies"
    ]
    assert with_defaults(schedule=schedule, labels=label("max-replicas", "40")).notes == ()


ACCELERATORS: dict[str, tuple[tuple[Any, ...], str, list[tuple[int, int]], list[str]]] = {
    # the story: (models, the label, bounds of the pools, notes and problems); the schedule asks for 3 to 6
    "a model without any": (("espeak",), "0", [(3, 6)], []),
    "enough": (("gpu",), "12", [(3, 6)], []),
    "for some replicas": (("gpu",), "9", [(3, 4)], ["ReplicasClamped"]),
    "for fewer than the minimum": (("gpu",), "5", [(2, 2)], ["ReplicasClamped"]),
    "not for one replica": (("gpu",), "1", [(1, 1)], ["ReplicasClamped", "AcceleratorsNotAllowed"]),
    "none allowed": (("gpu",), "0", [(1, 1)], ["ReplicasClamped", "AcceleratorsNotAllowed"]),
    "two kinds count together": (("slices",), "9", [(3, 3)], ["ReplicasClamped"]),
    "by the effective precision": (({"name": "both", "precision": "int8"},), "0", [(3, 6)], []),
    "by every precision that requests may select": (
        ({"name": "both", "precision": "int8", "allowedPrecisions": ["int8", "fp32"]},),
        "6",
        [(3, 3)],
        ["ReplicasClamped"],
    ),
    "of a second model": (("espeak", {"name": "gpu", "minReplicas": 3}), "4", [(3, 6), (2, 2)], ["ReplicasClamped"]),
}


@pytest.mark.parametrize(("models", "most", "bounds", "told"), ACCELERATORS.values(), ids=ACCELERATORS)
def test_accelerators_are_replicas_times_those_of_a_replica(
    models: tuple[Any, ...], most: str, bounds: list[tuple[int, int]], told: list[str]
) -> None:
    found = with_defaults(*models, schedule=DAY, labels=label("max-accelerators", most))
    assert [(pool.bounds.min_replicas, pool.bounds.max_replicas) for pool in found.pools] == bounds
    assert [problem.reason for problem in (*found.notes, *found.model_problems)] == told


def test_a_scenario_may_choose_the_precision_that_needs_an_accelerator() -> None:
    labels = label("max-accelerators", "4")
    assert with_defaults("both", schedule=DAY, scenario="Testing", labels=labels).notes == ()
    (note,) = with_defaults("both", schedule=DAY, scenario="Education", labels=labels).notes
    assert note.message == (
        "maxReplicas 6 of both needs 12 accelerators, more than 4, which the namespace's label"
        " ttsfleet.io/max-accelerators allows: maxReplicas 2 applies"
    )


def test_a_pool_whose_replica_is_above_the_ceiling_keeps_its_pods() -> None:
    observed = observe("gpu", known=[GPU], schedule=DAY)
    later = observe("gpu", known=[GPU], schedule=DAY, children=settle(observed), labels=label("max-accelerators", "1"))
    found = resolved(later)
    desired = built(found)
    assert found.refused is None
    assert desired is not None
    assert found.pools[0].model is None, "it gets no other pods"
    assert found.pools[0].bounds == Bounds(1, 1)
    assert found.model_problems[0].message == (
        "one replica of TTSModel gpu needs 2 accelerators, more than 1, which the namespace's label"
        " ttsfleet.io/max-accelerators allows: choose another model, or ask the platform team"
    )


def test_a_fallback_that_needs_too_many_accelerators_is_left_out() -> None:
    plain = model(fallback={"modelRef": {"name": "gpu"}})
    for most, reasons in (("2", []), ("1", ["FallbackNotAllowed"])):
        found = resolved(observe(known=[plain, GPU], labels=label("max-accelerators", most)))
        assert [problem.reason for problem in found.model_problems] == reasons
        assert len(found.pools) == 2 - len(reasons)
    listed = {"name": "both", "precision": "int8"}
    plain = model(fallback={"modelRef": {"name": "both"}})
    found = resolved(observe("espeak", listed, known=[plain, BOTH], labels=label("max-accelerators", "0")))
    assert found.model_problems == (), "a listed model is judged by its own entry"


def test_a_label_that_was_lowered_holds_for_members_and_their_accelerators_while_the_spec_is_refused() -> None:
    spec: dict[str, Any] = {"schedule": DAY}
    models = ("gpu", {"name": "espeak", "minReplicas": 5, "maxReplicas": 9})
    children = settle(observe(*models, known=[GPU, model("espeak")], **spec))
    labels = label("max-accelerators", "4") | label("max-replicas", "3")
    reading = observe(*models, known=[GPU, model("espeak")], children=children, labels=labels, **spec)
    found = resolved(while_refused(reading))
    assert found.refused is not None
    assert [pool.bounds for pool in found.pools] == [Bounds(2, 2), Bounds(3, 3)]
    assert [str(each) for each in plan(built(found), reading) if "hpa" in str(each)] == [
        "apply hpa/acme-gpu: min 3 -> 2, max 6 -> 2",
        "apply hpa/acme-espeak: min 5 -> 3, max 9 -> 3",
    ]


def test_a_tier_that_was_lowered_lowers_the_limits_of_the_spec_that_is_refused_for_it() -> None:
    spec: dict[str, Any] = {"tier": "Enterprise", "quota": {"requestsPerMinute": 300}}
    children = settle(observe(**spec))
    reading = observe(children=children, labels=label("max-tier", "Basic"), **spec)
    refusal = resolved(reading).refused
    assert refusal is not None
    assert refusal.reason == "TierNotAllowed"
    found = resolved(while_refused(reading, refusal))
    assert found.requests_per_minute == SETTINGS.tiers.requests_per_minute["Basic"]
    assert [str(each) for each in plan(built(found), reading)] == ["apply cm/acme-quota: quota.json changed"]
    said = next(each for each in status(found, reading, Outcome())["conditions"] if each["type"] == "Accepted")
    assert (said["status"], said["reason"]) == ("False", "TierNotAllowed")
    assert "until then the last accepted spec applies, except that spec.quota.requestsPerMinute 300" in said["message"]


def test_a_pool_on_its_way_out_has_the_namespaces_ceiling_too() -> None:
    """It stays until the pool that replaces it is ready, which may be never."""
    children = settle(observe("old", schedule=DAY))
    reading = observe("new", children=children, schedule=DAY, labels=label("max-replicas", "2"))
    found = resolved(reading)
    (old,) = [pool for pool in found.pools if pool.retiring]
    assert (old.name, old.bounds) == ("acme-old", Bounds(2, 2))
    assert "apply hpa/acme-old: min 3 -> 2, max 6 -> 2" in [str(each) for each in plan(built(found), reading)]
    child(children, "Deployment", "acme-old")["metadata"]["labels"].pop("ttsfleet.io/model")
    nameless = observe("new", children=children, schedule=DAY, labels=label("max-replicas", "2"))
    assert not [each for each in plan(built(resolved(nameless)), nameless) if "hpa/acme-old" in str(each)]
