"""The autoscaler of a pool: an HPA, or the ScaledObject from which KEDA makes one."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.operator_builders import DAY, NOON, SETTINGS, built, live, observe, settle, stamp
from tests.support.resources import KEY, Object, model
from tts_operator.objects.kinds import HORIZONTAL_POD_AUTOSCALER, SCALED_OBJECT, AddOn
from tts_operator.objects.labels import KEDA_PAUSED
from tts_operator.objects.manifest import Body, ref_of
from tts_operator.plan.outcome import Outcome
from tts_operator.plan.plan import plan
from tts_operator.resolve.resolve import resolve
from tts_operator.resolve.resolved import Resolved
from tts_operator.scheduled_scaling.precompute import next_requeue
from tts_operator.settings import KEDASettings, Settings
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed
from tts_operator.status.policies import (
    PolicyInput,
    autoscaler_missing,
    keda_failing,
    metrics_missing,
    second_autoscaler,
)

POOL = "acme-espeak"
ADDRESS = "http://prometheus.monitoring.svc:9090"
WITHOUT_PROMETHEUS = replace(SETTINGS, add_ons=(AddOn.KEDA,))
WITH_KEDA = replace(WITHOUT_PROMETHEUS, keda=KEDASettings(prometheus_address=ADDRESS))
NIGHT = {"name": "night", "start": "22:00", "end": "06:00", "minReplicas": 0}
EVENING = datetime(2026, 11, 4, 22, 0, tzinfo=UTC)


def reading(*models: Any, children: list[Object] | None = None, **spec: Any) -> Observed:
    """A tenant with provider KEDA in a cluster that has KEDA."""
    autoscaling = {"provider": "KEDA", **spec.pop("autoscaling", {})}
    spec = {"schedule": DAY, **spec}
    found = observe(*models, children=children or (), autoscaling=autoscaling, **spec)
    return replace(found, add_ons=frozenset({AddOn.KEDA}))


def by_kind(found: Resolved) -> dict[str, Body]:
    """Autoscalers of the only pool, by kind."""
    made = built(found)
    assert made is not None
    kinds = (HORIZONTAL_POD_AUTOSCALER.name, SCALED_OBJECT.name)
    return {each.ref.kind: each.body for each in made.manifests if each.ref.kind in kinds}


def spec_of(observed: Observed, settings: Settings = WITH_KEDA, now: datetime = NOON) -> Any:
    (body,) = by_kind(resolve(observed, settings, now)).values()
    assert body["kind"] == SCALED_OBJECT.name
    return body["spec"]


def with_scaled_object(hpa: bool = True, now: datetime = NOON, **spec: Any) -> Observed:
    """A tenant whose children exist, with the HPA that KEDA has made."""
    children = [child for child in settle(observe(schedule=DAY)) if child["kind"] != HORIZONTAL_POD_AUTOSCALER.name]
    made = built(resolve(reading(children=children, **spec), WITH_KEDA, now))
    assert made is not None
    scaled = live(next(each for each in made.manifests if each.ref.kind == SCALED_OBJECT.name))
    scaled["metadata"]["namespace"] = KEY.namespace
    children.append(scaled)
    return reading(children=[*children, kedas_hpa(scaled)] if hpa else children, **spec)


def kedas_hpa(scaled: Object, **condition: str) -> Object:
    metadata = copy.deepcopy(scaled["metadata"])
    owner = {"kind": SCALED_OBJECT.name, "name": POOL, "uid": metadata["uid"], "controller": True}
    body: Object = {
        "apiVersion": HORIZONTAL_POD_AUTOSCALER.api_version,
        "kind": HORIZONTAL_POD_AUTOSCALER.name,
        "metadata": {**metadata, "name": f"keda-hpa-{POOL}", "uid": "of-keda", "ownerReferences": [owner]},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": POOL}, "minReplicas": 3, "maxReplicas": 6},
    }
    if condition:
        body["status"] = {"conditions": [{"type": "ScalingActive", **condition}]}
    return body


def planned(observed: Observed, settings: Settings = WITH_KEDA, now: datetime = NOON) -> list[str]:
    """Actions on autoscalers and replicas."""
    actions = map(str, plan(built(resolve(observed, settings, now)), observed))
    return [action for action in actions if any(word in action for word in ("hpa/", "scaledobject/", "so/", "deploy/"))]


def inputs(observed: Observed, settings: Settings = WITH_KEDA) -> PolicyInput:
    return PolicyInput(resolve(observed, settings, NOON), observed, Outcome())


def test_keda_scales_within_the_bounds_of_the_clock() -> None:
    observed = reading(schedule={**DAY, "windows": [{**NIGHT, "minReplicas": 1, "maxReplicas": 2}]})
    assert (spec_of(observed)["minReplicaCount"], spec_of(observed)["maxReplicaCount"]) == (3, 6)
    at_night = spec_of(observed, now=EVENING)
    assert (at_night["minReplicaCount"], at_night["maxReplicaCount"]) == (1, 2)


def test_cpu_is_a_trigger_of_keda_too() -> None:
    (trigger,) = spec_of(reading(), WITHOUT_PROMETHEUS)["triggers"]
    assert trigger == {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}}


@pytest.mark.parametrize(
    ("metric", "query", "amount", "threshold"),
    [
        ("InFlight", "tts_inflight_requests", "4", "4"),
        ("QueueDepth", "tts_queue_depth", "1500m", "1.5"),
        ("QueueDepth", "tts_queue_depth", "1e1", "10"),
    ],
)
def test_requests_are_read_from_prometheus_for_this_pool_of_this_namespace(
    metric: str, query: str, amount: str, threshold: str
) -> None:
    observed = reading(autoscaling={"metrics": [{"type": metric, "averageValue": amount}]})
    (trigger,) = spec_of(observed)["triggers"]
    assert trigger["metadata"] == {
        "serverAddress": ADDRESS,
        "query": f'sum({query}{{namespace="team-acme",ttsfleet_io_tenant="acme",ttsfleet_io_model="espeak"}})',
        "threshold": threshold,
        "ignoreNullValues": "false",
    }


def test_a_pool_with_an_accelerator_follows_requests_where_they_can_be_read() -> None:
    """The CPU of a pod with a GPU says nothing about its load."""
    gpu = {"requests": {"cpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}
    known = [model(precisions=[{"name": "fp16", "resources": gpu}])]
    assert [each["type"] for each in spec_of(reading(known=known))["triggers"]] == ["prometheus"]
    assert [each["type"] for each in spec_of(reading(known=known), WITHOUT_PROMETHEUS)["triggers"]] == ["cpu"]


def test_scaling_is_fast_up_and_slow_down_unless_told_otherwise() -> None:
    spec = spec_of(reading(autoscaling={"behavior": {"scaleDown": {"stabilizationWindowSeconds": 900}}}))
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 900
    assert behavior["scaleDown"]["policies"] == [
        {"type": "Percent", "value": 10, "periodSeconds": 60},
        {"type": "Pods", "value": 1, "periodSeconds": 60},
    ]


def paused(observed: Observed, now: datetime) -> str:
    (body,) = by_kind(resolve(observed, WITH_KEDA, now)).values()
    return str(body["metadata"]["annotations"][KEDA_PAUSED])


def test_keda_is_paused_while_there_are_no_replicas() -> None:
    """Otherwise it would start the minimum again at its next poll, whatever the schedule says."""
    by_schedule = reading(children=settle(observe()), schedule={**DAY, "windows": [NIGHT]})
    by_schedule = replace(
        by_schedule, children={ref: each for ref, each in by_schedule.children.items() if "Auto" not in ref.kind}
    )
    assert (paused(by_schedule, NOON), paused(by_schedule, EVENING)) == ("false", "true")
    suspended = replace(reading(children=[dict(each) for each in by_schedule.children.values()], suspend=True))
    assert paused(suspended, NOON) == "true"


def test_the_hpa_goes_before_the_scaled_object_comes() -> None:
    children = settle(observe(schedule=DAY))
    before = reading(children=children)
    assert planned(before) == [f"delete hpa/{POOL}: no longer wanted"]
    without = [child for child in children if child["kind"] != HORIZONTAL_POD_AUTOSCALER.name]
    assert planned(reading(children=without)) == [f"apply so/{POOL}: missing"]


def test_a_tenant_of_keda_that_has_converged_costs_no_writes() -> None:
    assert planned(with_scaled_object()) == []


def test_the_write_of_a_transition_is_that_of_the_scaled_object() -> None:
    night = {**DAY, "windows": [{**NIGHT, "minReplicas": 1, "maxReplicas": 2}]}
    coming = next_requeue(resolve(with_scaled_object(schedule=night), WITH_KEDA, NOON))
    assert coming is not None
    assert [str(write) for write in coming.precompute] == [
        f"apply so/{POOL}: minReplicaCount 3 -> 1, maxReplicaCount 6 -> 2"
    ]


def test_before_a_zero_keda_is_paused_with_the_write_that_is_made_at_the_instant() -> None:
    coming = next_requeue(resolve(with_scaled_object(schedule={**DAY, "windows": [NIGHT]}), WITH_KEDA, NOON))
    assert coming is not None
    (write,) = coming.precompute
    assert write.manifest.body["metadata"]["annotations"][KEDA_PAUSED] == "true"


def test_the_hpa_of_our_scaled_object_is_the_pools_own() -> None:
    observed = with_scaled_object()
    found = lookup.autoscaler(observed, POOL)
    assert found is not None
    assert found["metadata"]["name"] == f"keda-hpa-{POOL}"
    assert second_autoscaler(inputs(observed)) is None
    assert keda_failing(inputs(observed)) is None
    of_another: Object = kedas_hpa({"metadata": {"uid": "another", "namespace": KEY.namespace}})
    rival = replace(observed, foreign_autoscalers=[of_another])
    told = second_autoscaler(inputs(rival))
    assert told is not None
    assert told.reason == "SecondAutoscaler"


def test_what_the_hpa_of_keda_cannot_read_is_told_and_pins_the_bounds() -> None:
    observed = with_scaled_object(hpa=False)
    scaled = lookup.scaled_object(observed, POOL)
    assert scaled is not None
    unread = {"status": "False", "reason": "FailedGetExternalMetric", "message": "no answer"}
    hpa = kedas_hpa(dict(scaled), **unread, lastTransitionTime=stamp(datetime(2026, 11, 4, 9, tzinfo=UTC)))
    observed = replace(observed, children={**observed.children, ref_of(hpa): hpa})
    told = metrics_missing(inputs(observed))
    assert told is not None
    assert told.reason == "FailedGetExternalMetric"
    assert told.message.startswith(f"hpa/keda-hpa-{POOL} cannot read its metric: no answer; maxReplicas is pinned to 3")
    assert spec_of(observed)["maxReplicaCount"] == 3


def test_while_keda_makes_no_hpa_the_operator_keeps_the_bounds() -> None:
    observed = with_scaled_object(hpa=False)
    told = keda_failing(inputs(observed))
    assert told is not None
    assert told.reason == "ScaledObjectNotReady"
    deployment = next(child for ref, child in observed.children.items() if ref.kind == "Deployment")
    fewer: Any = copy.deepcopy(dict(deployment))
    fewer["spec"]["replicas"] = 1
    fewer["metadata"]["generation"] = 7
    observed = replace(observed, children={**observed.children, ref_of(fewer): fewer})
    assert planned(observed) == [f"scale deploy/{POOL} to 3: beyond the bounds, and the HPA does not act"]


@pytest.mark.parametrize(
    ("settings", "installed", "reason"),
    [
        (SETTINGS, True, "KEDANotEnabled"),
        (WITH_KEDA, False, "KEDANotInstalled"),
    ],
)
def test_without_keda_an_hpa_keeps_the_bounds_by_cpu(settings: Settings, installed: bool, reason: str) -> None:
    observed = reading(autoscaling={"metrics": [{"type": "InFlight", "averageValue": "4"}]})
    observed = observed if installed else replace(observed, add_ons=frozenset())
    (body,) = by_kind(resolve(observed, settings, NOON)).values()
    assert body["kind"] == HORIZONTAL_POD_AUTOSCALER.name
    assert (body["spec"]["minReplicas"], body["spec"]["metrics"][0]["type"]) == (3, "Resource")
    told = autoscaler_missing(inputs(observed, settings))
    assert told is not None
    assert told.reason == reason


def test_without_a_prometheus_keda_scales_by_cpu_and_says_so() -> None:
    metrics = [{"type": "CPU", "averageUtilization": 40}, {"type": "QueueDepth", "averageValue": "4"}]
    observed = reading(autoscaling={"metrics": metrics})
    (trigger,) = spec_of(observed, WITHOUT_PROMETHEUS)["triggers"]
    assert trigger["metadata"] == {"value": "40"}
    told = autoscaler_missing(inputs(observed, WITHOUT_PROMETHEUS))
    assert told is not None
    assert (told.reason, "QueueDepth cannot be read" in told.message) == ("PrometheusNotConfigured", True)
