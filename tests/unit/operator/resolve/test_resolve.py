"""A tenant's spec resolves to models, precisions, bounds and limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.onnx_models import observe_store, onnx_model, s3_source
from tests.support.operator_builders import (
    DAY,
    NOON,
    SETTINGS,
    built,
    falls_back_to,
    observe,
    resolved,
    stamp,
    while_refused,
)
from tests.support.resources import Object, model, precision
from tts_operator.api import AuthMode, TTSModel
from tts_operator.calendar.bounds import Bounds, State
from tts_operator.credentials.model_sources import SourceCredentials
from tts_operator.objects.problem import Problem
from tts_operator.resolve.resolve import resolve
from tts_operator.settings import Tiers
from tts_operator.snapshot.observed import Observed

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a field that comes later": ({"preventDeletion": True}, "NotSupportedYet", "spec.preventDeletion true"),
    "two of them": (
        {"preventDeletion": True, "isolation": "Shared"},
        "NotSupportedYet",
        "spec.isolation Shared, spec.preventDeletion true: not supported yet; change or remove them",
    ),
    "a zone that the tz database lacks": (
        {"schedule": {**DAY, "timeZone": "Mars/Olympus"}},
        "UnknownTimeZone",
        "'Mars/Olympus' is not an IANA time zone",
    ),
}


@pytest.mark.parametrize(("spec", "reason", "message"), REFUSED.values(), ids=REFUSED)
def test_a_spec_that_cannot_be_followed_is_refused_and_nothing_is_built(
    spec: dict[str, Any], reason: str, message: str
) -> None:
    found = resolved(observe(**spec))
    assert found.refused is not None
    assert found.refused.reason == reason
    assert message in found.refused.message
    assert built(found) is None


def test_a_stored_object_that_does_not_parse_is_refused() -> None:
    found = resolve(replace(observe(), tenant=None, tenant_error="spec.models: required"), SETTINGS, NOON)
    assert found.refused == ("Invalid", "spec.models: required")


def test_a_tenant_on_its_way_out_gets_nothing_new() -> None:
    observed = observe()
    assert observed.body is not None
    body = {**observed.body, "metadata": {**observed.metadata, "deletionTimestamp": "2026-11-04T12:00:00Z"}}
    assert built(resolved(replace(observed, body=body))) is None


MODELS: dict[str, tuple[list[TTSModel], dict[str, str], str | None]] = {
    "published for everyone": ([model()], {}, None),
    "not published": ([], {}, "ModelNotFound"),
    "not supported yet": ([model(accelerator={"nodeSelector": {"gpu": "yes"}})], {}, "ModelNotSupported"),
    "for namespaces of another kind": (
        [model(allowedNamespaces={"matchLabels": {"team": "b"}})],
        {},
        "ModelNotAllowed",
    ),
    "for this namespace": ([model(allowedNamespaces={"matchLabels": {"team": "b"}})], {"team": "b"}, None),
    "for every namespace, in so many words": ([model(allowedNamespaces={})], {}, None),
}


@pytest.mark.parametrize(("known", "labels", "reason"), MODELS.values(), ids=MODELS)
def test_model(known: list[TTSModel], labels: dict[str, str], reason: str | None) -> None:
    found = resolved(observe(known=known, labels=labels))
    assert [problem.reason for problem in found.model_problems] == ([reason] if reason else [])
    assert (found.pools[0].model is None) == (reason is not None)


VOICES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "every name leads to a voice": (
        {"voiceAliases": {"alloy": "de"}, "languageRouting": [{"language": "default", "voice": "alloy"}]},
        [],
    ),
    "an alias of nobody": (
        {"voiceAliases": {"alloy": "nobody"}},
        ["spec.voiceAliases[alloy] names voice nobody, which no model of the tenant has; their voices: de, en-us"],
    ),
    "a route to nobody": (
        {"languageRouting": [{"language": "default", "voice": "nobody"}]},
        ["spec.languageRouting[default] names voice nobody, which no model of the tenant has; their voices: de, en-us"],
    ),
}


@pytest.mark.parametrize(("spec", "messages"), VOICES.values(), ids=VOICES)
def test_voices_that_callers_are_led_to(spec: dict[str, Any], messages: list[str]) -> None:
    found = resolved(observe(**spec))
    assert [problem.message for problem in found.model_problems] == messages
    assert found.pools[0].model is not None, "the pool goes on"


def test_a_voice_may_belong_to_the_model_that_is_missing() -> None:
    found = resolved(observe("espeak", "missing", known=[model()], voiceAliases={"alloy": "nobody"}))
    assert [problem.reason for problem in found.model_problems] == ["ModelNotFound"]


LIMITS: dict[str, tuple[dict[str, Any], int, int, list[str]]] = {
    "the tier's": ({}, 10, 4096, []),
    "a higher tier's": ({"tier": "Enterprise"}, 1000, 4096, []),
    "lowered": ({"tier": "VIP", "quota": {"requestsPerMinute": 7, "maxTextCharacters": 80}}, 7, 80, []),
    "raised, in vain": ({"quota": {"requestsPerMinute": 11}}, 10, 4096, ["QuotaClamped"]),
}


@pytest.mark.parametrize(("spec", "minute", "characters", "notes"), LIMITS.values(), ids=LIMITS)
def test_limits(spec: dict[str, Any], minute: int, characters: int, notes: list[str]) -> None:
    found = resolved(observe(**spec))
    assert (found.requests_per_minute, found.max_text_characters) == (minute, characters)
    assert [note.reason for note in found.notes] == notes


QUOTAS: dict[str, tuple[dict[str, Any], int | None, int, list[str]]] = {
    # the story: (spec, concurrent requests, characters, fields that are lowered)
    "none asked for": ({}, None, 4096, []),
    "at the tier's": ({"quota": {"concurrentRequests": 10, "maxTextCharacters": 10_000}}, 10, 10_000, []),
    "above Basic": (
        {"quota": {"concurrentRequests": 1_000_000_000, "maxTextCharacters": 100_000}},
        10,
        10_000,
        ["concurrentRequests", "maxTextCharacters"],
    ),
    "above VIP": ({"tier": "VIP", "quota": {"concurrentRequests": 101}}, 100, 4096, ["concurrentRequests"]),
    "Enterprise": ({"tier": "Enterprise", "quota": {"maxTextCharacters": 100_000}}, None, 100_000, []),
}


@pytest.mark.parametrize(("spec", "concurrent", "characters", "lowered"), QUOTAS.values(), ids=QUOTAS)
def test_a_quota_above_the_tiers_is_lowered_and_told(
    spec: dict[str, Any], concurrent: int | None, characters: int, lowered: list[str]
) -> None:
    found = resolved(observe(**spec))
    assert (found.concurrent_requests, found.max_text_characters) == (concurrent, characters)
    assert [note.message.split()[0] for note in found.notes] == [f"spec.quota.{name}" for name in lowered]
    assert {note.reason for note in found.notes} <= {"QuotaClamped"}


TIGHT = replace(
    SETTINGS,
    tiers=Tiers(
        requests_per_minute={"Basic": 3, "VIP": 30, "Enterprise": 300},
        concurrent_requests={"Basic": 2, "VIP": 20, "Enterprise": 200},
        max_text_characters={"Basic": 500, "VIP": 5000, "Enterprise": 50_000},
    ),
)
PLATFORM: dict[str, tuple[dict[str, Any], tuple[int, int | None, int], list[str]]] = {
    # the story: (spec, requests per minute, concurrent requests and characters, fields that are lowered)
    "nothing is set": ({}, (3, None, 500), []),
    "a higher tier": ({"tier": "VIP"}, (30, None, 4096), []),
    "at the limits": (
        {"quota": {"requestsPerMinute": 3, "concurrentRequests": 2, "maxTextCharacters": 500}},
        (3, 2, 500),
        [],
    ),
    "above them": (
        {"tier": "VIP", "quota": {"requestsPerMinute": 31, "concurrentRequests": 21, "maxTextCharacters": 5001}},
        (30, 20, 5000),
        ["requestsPerMinute", "concurrentRequests", "maxTextCharacters"],
    ),
}


@pytest.mark.parametrize(("spec", "limits", "lowered"), PLATFORM.values(), ids=PLATFORM)
def test_the_limits_of_a_tier_are_the_platforms(
    spec: dict[str, Any], limits: tuple[int, int | None, int], lowered: list[str]
) -> None:
    found = resolve(observe(**spec), TIGHT, NOON)
    assert (found.requests_per_minute, found.concurrent_requests, found.max_text_characters) == limits
    assert [note.message.split()[0] for note in found.notes] == [f"spec.quota.{name}" for name in lowered]


TIERS: dict[str, tuple[str, str, str]] = {
    # the story: (tier, the namespace's label, reason of the refusal)
    "above": ("Enterprise", "Basic", "TierNotAllowed"),
    "one above": ("Enterprise", "VIP", "TierNotAllowed"),
    "equal": ("VIP", "VIP", ""),
    "below": ("Basic", "Enterprise", ""),
    "a label that means nothing": ("Enterprise", "gold", ""),
}


@pytest.mark.parametrize(("tier", "label", "reason"), TIERS.values(), ids=TIERS)
def test_a_tier_above_the_namespaces_is_refused(tier: str, label: str, reason: str) -> None:
    found = resolved(observe(tier=tier, labels={"ttsfleet.io/max-tier": label}))
    assert (found.refused.reason if found.refused else "") == reason


REPLICAS: dict[str, tuple[str, list[tuple[int, int]], list[str]]] = {
    # the story: (the namespace's label, bounds of both pools, notes); the spec asks for 3 to 6, and for 2 to 4
    "above all": ("6", [(3, 6), (2, 4)], []),
    "between": ("4", [(3, 4), (2, 4)], ["ReplicasClamped"]),
    "below all": ("1", [(1, 1), (1, 1)], ["ReplicasClamped", "ReplicasClamped"]),
    "zero tears nothing down": ("0", [(3, 6), (2, 4)], ["CeilingInvalid"]),
    "no number": ("few", [(3, 6), (2, 4)], ["CeilingInvalid"]),
    "digits of another script": ("٣", [(3, 6), (2, 4)], ["CeilingInvalid"]),
}


@pytest.mark.parametrize(("label", "bounds", "notes"), REPLICAS.values(), ids=REPLICAS)
def test_replicas_are_lowered_to_the_namespaces(label: str, bounds: list[tuple[int, int]], notes: list[str]) -> None:
    models = ("espeak", {"name": "wide", "minReplicas": 2, "maxReplicas": 4})
    found = resolved(observe(*models, schedule=DAY, labels={"ttsfleet.io/max-replicas": label}))
    assert [(pool.bounds.min_replicas, pool.bounds.max_replicas) for pool in found.pools] == bounds
    assert [note.reason for note in found.notes] == notes


def test_the_next_window_is_lowered_too() -> None:
    night = {"name": "night", "start": "00:00", "end": "06:00", "minReplicas": 9, "maxReplicas": 12}
    spec: dict[str, Any] = {"schedule": {**DAY, "windows": [night]}}
    labels = {"ttsfleet.io/max-replicas": "2"}
    change = resolved(observe(labels=labels, **spec)).next_transition
    assert change is not None
    assert (change.bounds.min_replicas, change.bounds.max_replicas) == (2, 2)


def test_a_window_that_others_hide_is_told() -> None:
    day = {"name": "day", "start": "08:00", "end": "20:00", "minReplicas": 2}
    noon = {"name": "noon", "start": "12:00", "end": "13:00", "minReplicas": 4}
    weekend = {"name": "weekend", "days": ["Sat", "Sun"], "minReplicas": 1}

    def notes(*windows: dict[str, Any]) -> list[str]:
        return [note.message for note in resolved(observe(schedule={**DAY, "windows": list(windows)})).notes]

    assert notes(noon, day, weekend) == []
    (note,) = notes(day, noon, weekend)
    assert note == "spec.schedule.windows[1], noon, never opens: earlier windows always match first; move it up"
    assert len(notes(weekend, {**noon, "days": ["Sat"]}, {**noon, "name": "late", "days": ["Sun", "Mon"]})) == 1


def test_the_schedule_is_the_default_models_and_others_have_bounds_of_their_own() -> None:
    entries = (
        "espeak",
        "fixed",
        {"name": "wide", "minReplicas": 2, "maxReplicas": 4},
        {"name": "two", "minReplicas": 2},
    )
    found = resolved(observe(*entries, schedule=DAY))
    assert [pool.bounds for pool in found.pools] == [Bounds(3, 6), Bounds(1, 1), Bounds(2, 4), Bounds(2, 2)]
    assert [pool.role for pool in found.pools] == ["Entry", "Member", "Member", "Member"]
    assert found.entry == "acme-espeak"


def test_the_next_look_is_at_the_next_transition() -> None:
    found = resolved(observe(schedule={"preset": "DayNightWeekend", "timeZone": "Asia/Shanghai"}))
    assert found.window is not None
    assert found.window.window == "day"
    assert found.requeue_at == datetime(2026, 11, 4, 16, 0, tzinfo=UTC)
    assert resolved(observe()).requeue_at is None


def missed(ago: timedelta) -> Object:
    """A status that has told of missing keys since then."""
    told = {"type": "Available", "status": "False", "reason": "KeysNotFound", "lastTransitionTime": stamp(NOON - ago)}
    return {"conditions": [told]}


NO_KEYS: dict[str, tuple[Observed, timedelta | None]] = {
    "nobody watches Secrets": (observe(keys=False), timedelta(seconds=20)),
    "it is there": (observe(), None),
    "nobody may look": (observe(keys=None), None),
    "nobody needs it": (observe(keys=False, auth={"modes": ["None"]}), None),
    "nobody is to answer": (observe(keys=False, suspend=True), None),
    "it has been missing for long": (observe(keys=False, before=missed(timedelta(hours=1))), timedelta(minutes=6)),
}


@pytest.mark.parametrize(("observed", "wait"), NO_KEYS.values(), ids=NO_KEYS)
def test_a_secret_with_keys_that_is_missing_is_looked_for(observed: Observed, wait: timedelta | None) -> None:
    assert resolved(observed).requeue_at == (NOON + wait if wait else None)


def test_a_namespace_whose_labels_keep_a_model_away_is_looked_at_again() -> None:
    """A person who reads ModelNotAllowed sets the label, and nobody watches namespaces."""
    barred = observe(known=[model(allowedNamespaces={"matchLabels": {"team": "b"}})])
    assert resolved(barred).requeue_at == NOON + timedelta(seconds=20)
    since = {"type": "ModelsResolved", "status": "False", "lastTransitionTime": stamp(NOON - timedelta(hours=1))}
    barred = replace(barred, body={**(barred.body or {}), "status": {"conditions": [since]}})
    assert resolved(barred).requeue_at == NOON + timedelta(minutes=6)
    assert resolved(observe(known=[])).requeue_at is None, "models are watched"


def test_each_pool_speaks_what_its_entry_or_the_scenario_asks() -> None:
    both = [precision("fp32"), precision("int8")]
    entries = ("a", {"name": "b", "precision": "fp32", "allowedPrecisions": ["int8", "fp32"]}, "c")
    known = [model("a", precisions=both), model("b", precisions=both), model("c")]
    pools = resolved(observe(*entries, known=known, scenario="Testing")).pools
    assert [pool.precision and (pool.precision.name, pool.precision.reason) for pool in pools] == [
        ("int8", "Scenario"),
        ("fp32", "ModelEntry"),
        ("fp32", "NotOffered"),
    ]
    assert [pool.loaded for pool in pools] == [("int8",), ("fp32", "int8"), ("fp32",)]


PRECISIONS = [precision("fp32"), precision("int8")]
CLAIMED = {"source": {"persistentVolumeClaim": {"claimName": "models"}}, "precisions": PRECISIONS}
NOT_LOADED: dict[str, tuple[Object, str]] = {
    # the story: (the model, what follows "requests cannot select fp32, because")
    "one graph for two precisions": (
        {"engine": "Onnx", "source": {"builtIn": "heart"}, "onnx": {"family": "Hibari"}, "precisions": PRECISIONS},
        "TTSModel espeak has no files of its own for it: it would be computed with those of int8",
    ),
    "an engine with one precision per process": (
        {**CLAIMED, "engine": "CosyVoice", "cosyVoice": {}},
        "a pod of engine CosyVoice loads one precision, here int8",
    ),
    "the other one": (
        {**CLAIMED, "engine": "IndexTTS", "indexTTS": {"prompts": [{"voice": "a", "wav": "a.wav"}]}},
        "a pod of engine IndexTTS loads one precision, here int8",
    ),
}


@pytest.mark.parametrize(("spec", "why"), NOT_LOADED.values(), ids=NOT_LOADED)
def test_precisions_that_pods_do_not_load_are_named_and_not_offered(spec: Object, why: str) -> None:
    entry = {"name": "espeak", "precision": "int8", "allowedPrecisions": ["fp32", "fp16", "int8"]}
    found = resolved(observe(entry, known=[model(**spec)]))
    assert found.pools[0].loaded == ("int8",)
    assert [(note.reason, note.message) for note in found.notes] == [
        (
            "PrecisionNotLoaded",
            f"spec.models[espeak].allowedPrecisions: requests cannot select fp32, because {why}",
        )
    ]


def test_precisions_with_graphs_of_their_own_are_loaded_beside_each_other() -> None:
    precisions = [{**each, "files": {"model": f"{each['name']}.onnx"}} for each in PRECISIONS]
    known = onnx_model(source={"persistentVolumeClaim": {"claimName": "models"}}, precisions=precisions)
    entry = {"name": "espeak", "precision": "int8", "allowedPrecisions": ["fp32", "int8"]}
    found = resolved(observe(entry, known=[known]))
    assert found.pools[0].loaded == ("fp32", "int8")
    assert found.notes == ()


def test_a_secret_that_a_model_lacks_is_looked_for() -> None:
    missing = SourceCredentials(problem=Problem("SourceSecretNotFound", ""))
    assert resolved(observe_store(credentials=missing)).requeue_at == NOON + timedelta(seconds=20)


def test_a_fallback_whose_files_cannot_be_fetched_is_left_out() -> None:
    missing = SourceCredentials(problem=Problem("SourceSecretNotFound", "the Secret does not exist"))
    known = [model(fallback=falls_back_to("stored")), onnx_model("stored", s3_source())]
    found = resolved(replace(observe(known=known), source_credentials={"stored": missing}))
    assert [(each.reason, each.message) for each in found.model_problems] == [
        ("FallbackSourceUnusable", "TTSModel espeak falls back to stored: the Secret does not exist")
    ]
    assert [pool.model_name for pool in found.pools] == ["espeak"]


def test_api_keys_are_asked_for_unless_the_tenant_says_otherwise() -> None:
    assert resolved(observe()).auth_modes == (AuthMode.API_KEY,)
    assert resolved(observe()).keys_secret == "acme-keys"
    found = resolved(observe(auth={"apiKeysSecretRef": {"name": "mine"}}))
    assert found.keys_secret == "mine"


def test_the_autoscaler_aims_at_seventy_percent_unless_told_otherwise() -> None:
    (target,) = resolved(observe()).autoscaler.targets(accelerator=False)
    assert target.average_utilization == 70
    metrics = {"metrics": [{"type": "CPU", "averageUtilization": 40}]}
    (target,) = resolved(observe(autoscaling=metrics)).autoscaler.targets(accelerator=True)
    assert target.average_utilization == 40


SPECS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "tier": st.sampled_from(["Basic", "VIP", "Enterprise"]),
        "scenario": st.sampled_from(["CustomerService", "Education", "Testing"]),
        "suspend": st.booleans(),
        "schedule": st.sampled_from([DAY, {"preset": "DayNightWeekend"}, {**DAY, "timeZone": "Nowhere/Land"}]),
        "quota": st.fixed_dictionaries({}, optional={"requestsPerMinute": st.integers(1, 10**9)}),
        "rollout": st.fixed_dictionaries({"strategy": st.sampled_from(["Auto", "Surge", "Replace"])}),
        "preventDeletion": st.booleans(),
    },
)


@given(
    SPECS,
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True),
    st.sets(st.sampled_from(["a", "b", "c"])),
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - made aware
)
def test_whatever_is_asked_and_found_resolving_never_raises(
    spec: dict[str, Any], entries: list[str], known: set[str], now: datetime
) -> None:
    observed = observe(*entries, known=[model(name) for name in known], **spec)
    found = resolve(observed, SETTINGS, now)
    assert (built(found) is None) == (found.refused is not None)
    accepted = resolve(while_refused(observed), SETTINGS, now)
    assert accepted.refused is not None
    assert (built(accepted) is None) == (found.refused is not None), "one that this version cannot follow stays"


@pytest.mark.parametrize(
    ("lead", "load_seconds", "minimum"),
    [(None, 0, 3), (None, 700, 5), (0, 700, 3), (599, 0, 3), (600, 0, 5)],
    ids=["no lead", "the model's", "none, whatever the model says", "too short", "long enough"],
)
def test_the_minimum_rises_before_a_window_by_the_tenants_lead_or_the_models(
    lead: int | None, load_seconds: int, minimum: int
) -> None:
    """NOON is ten minutes before the window."""
    rush = {"name": "rush", "start": "12:10", "end": "14:00", "minReplicas": 5}
    schedule = {**DAY, "windows": [rush], **({} if lead is None else {"preWarmSeconds": lead})}
    found = resolved(observe(known=[model(loadSeconds=load_seconds)], schedule=schedule))
    assert found.pools[0].bounds == Bounds(minimum, 6)
    assert found.window is not None
    assert found.window.window == "default"


def test_an_override_takes_the_place_of_the_calendar_until_it_ends() -> None:
    override = {"until": "2026-11-04T14:30:00+01:00", "minReplicas": 8, "maxReplicas": 20}
    found = resolved(observe(schedule={**DAY, "override": override}))
    assert found.window == State("override", Bounds(8, 20))
    assert found.requeue_at == NOON + timedelta(minutes=90)
    over = resolved(observe(schedule={**DAY, "override": override}), NOON + timedelta(minutes=90))
    assert over.window == State("default", Bounds(3, 6))
