"""Tenants with provider KEDA on a real API server with KEDA's kind; what KEDA does is done by `tests.support.keda`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import CLOCK, DAY, SETTINGS, ApiServer, converge, planned
from tests.support.keda import ActingKeda, install_keda, refs
from tests.support.resources import tenant_body
from tts_operator.informer.add_ons import AddOns
from tts_operator.objects.kinds import AddOn
from tts_operator.objects.labels import KEDA_PAUSED
from tts_operator.settings import KEDASettings
from tts_operator.status.conditions import timestamp

KEDA: dict[str, Any] = {"provider": "KEDA"}
BY_REQUESTS: dict[str, Any] = {**KEDA, "metrics": [{"type": "InFlight", "averageValue": "4"}]}
WITH_KEDA = replace(
    SETTINGS, add_ons=(AddOn.KEDA,), keda=KEDASettings(prometheus_address="http://prometheus.monitoring.svc:9090")
)


@pytest.fixture(scope="session")
def keda(control_plane: ControlPlane, kubeconfig: object) -> None:
    install_keda(control_plane)


@pytest_asyncio.fixture
async def fleet(api: ApiServer, keda: None) -> AsyncIterator[ApiServer]:
    """An operator that may use KEDA, in a cluster that has it."""
    yield replace(api, add_ons=AddOns({AddOn.KEDA}, {AddOn.KEDA}), settings=WITH_KEDA)


async def a_tenant(api: ApiServer, **spec: Any) -> str:
    model = await api.publish_model()
    await api.user.create(tenant_body(model, key=api.key(), **{"schedule": DAY, "autoscaling": KEDA, **spec}))
    await converge(api)
    return f"acme-{model}"


async def change(api: ApiServer, **spec: Any) -> None:
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": spec})


async def test_a_tenant_of_keda_has_a_scaled_object_within_its_bounds_and_no_hpa(fleet: ApiServer) -> None:
    pool = await a_tenant(fleet, autoscaling=BY_REQUESTS)
    scaled_ref, hpa_ref = refs(fleet, pool)
    scaled = await fleet.cluster.get(scaled_ref)
    assert scaled is not None
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (2, 4)
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"]["serverAddress"] == "http://prometheus.monitoring.svc:9090"
    assert f'namespace="{fleet.namespace}"' in trigger["metadata"]["query"]
    assert await fleet.cluster.get(hpa_ref) is None
    assert await planned(fleet) == [], "a converged tenant costs no writes"


async def test_the_hpa_of_keda_is_no_rival_and_its_labels_and_finalizer_stay(fleet: ApiServer) -> None:
    pool = await a_tenant(fleet)
    assert (await fleet.condition("ScalingActive"))["reason"] == "ScaledObjectNotReady"
    keda = ActingKeda(fleet, pool)
    await keda.reconcile()
    await converge(fleet)
    assert (await fleet.condition("ScalingActive"))["status"] == "True"
    live = await fleet.cluster.get(keda.scaled)
    assert live is not None
    assert live["metadata"]["finalizers"] == ["finalizer.keda.sh"]
    assert "scaledobject.keda.sh/name" in live["metadata"]["labels"]
    assert await fleet.cluster.get(keda.hpa) is not None
    assert await planned(fleet) == []


async def test_what_kedas_hpa_cannot_read_is_told(fleet: ApiServer) -> None:
    pool = await a_tenant(fleet, autoscaling=BY_REQUESTS)
    unread = {
        "type": "ScalingActive",
        "status": "False",
        "reason": "FailedGetExternalMetric",
        "message": "no Prometheus answers",
        "lastTransitionTime": timestamp(CLOCK.now() - timedelta(hours=1)),
    }
    await ActingKeda(fleet, pool).reconcile(unread)
    await converge(fleet)
    found = await fleet.condition("ScalingActive")
    assert (found["status"], found["reason"]) == ("False", "FailedGetExternalMetric")
    assert f"hpa/keda-hpa-{pool} cannot read its metric: no Prometheus answers" in found["message"]
    scaled = await fleet.cluster.get(refs(fleet, pool)[0])
    assert scaled is not None
    assert scaled["spec"]["maxReplicaCount"] == 2, "pinned to the minimum, as for an HPA"


async def test_zero_pauses_keda_and_a_wake_resumes_it(fleet: ApiServer) -> None:
    pool = await a_tenant(fleet)
    keda = ActingKeda(fleet, pool)
    await keda.reconcile()
    await change(fleet, suspend=True)
    await converge(fleet)
    scaled = await fleet.cluster.get(keda.scaled)
    assert scaled is not None
    assert scaled["metadata"]["annotations"][KEDA_PAUSED] == "true"
    await keda.reconcile()
    assert await fleet.cluster.get(keda.hpa) is None
    await converge(fleet)
    assert (await fleet.get("Deployment", pool))["spec"]["replicas"] == 0
    assert (await fleet.condition("ScalingActive"))["status"] == "True", "a paused ScaledObject is no failure"
    await change(fleet, suspend=False)
    await converge(fleet)
    await keda.reconcile()
    await converge(fleet)
    scaled = await fleet.cluster.get(keda.scaled)
    assert scaled is not None
    assert scaled["metadata"]["annotations"][KEDA_PAUSED] == "false"
    assert (await fleet.get("Deployment", pool))["spec"]["replicas"] == 2


async def test_the_schedule_holds_while_keda_makes_no_hpa(fleet: ApiServer) -> None:
    """KEDA's operator is down: the ScaledObject moves nothing, so the operator itself keeps the bounds."""
    pool = await a_tenant(fleet)
    await change(fleet, schedule={"default": {"minReplicas": 5, "maxReplicas": 6}})
    await converge(fleet)
    assert (await fleet.get("Deployment", pool))["spec"]["replicas"] == 5
    found = await fleet.condition("ScalingActive")
    assert (found["status"], found["reason"]) == ("False", "ScaledObjectNotReady")
    assert f"KEDA has made no HPA of so/{pool} yet" in found["message"]


async def test_a_change_of_provider_leaves_one_autoscaler(fleet: ApiServer) -> None:
    pool = await a_tenant(fleet, autoscaling={"provider": "HPA"})
    scaled_ref, hpa_ref = refs(fleet, pool)
    assert await fleet.cluster.get(hpa_ref) is not None
    await change(fleet, autoscaling=KEDA)
    first = await planned(fleet)
    assert first == [f"delete hpa/{pool}: no longer wanted"], "KEDA's webhook refuses a second autoscaler"
    await converge(fleet)
    assert (await fleet.cluster.get(hpa_ref), await fleet.cluster.get(scaled_ref) is not None) == (None, True)
    keda = ActingKeda(fleet, pool)
    await keda.reconcile()
    await change(fleet, autoscaling={"provider": "HPA"})
    await converge(fleet)
    assert (await fleet.condition("ScalingActive")).get("reason") != "SecondAutoscaler"
    await keda.finalize()
    await converge(fleet)
    assert await fleet.cluster.get(scaled_ref) is None
    assert await fleet.cluster.get(hpa_ref) is not None


@pytest.mark.parametrize(
    ("enabled", "reason"), [((), "KEDANotEnabled"), ((AddOn.KEDA,), "KEDANotInstalled")], ids=["chart", "cluster"]
)
async def test_without_keda_an_hpa_keeps_the_bounds_and_the_status_says_what_to_do(
    api: ApiServer, enabled: tuple[AddOn, ...], reason: str
) -> None:
    without = replace(api, add_ons=AddOns(enabled), settings=replace(SETTINGS, add_ons=enabled))
    pool = await a_tenant(without, autoscaling=BY_REQUESTS)
    hpa = await without.get("HorizontalPodAutoscaler", pool)
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (2, 4)
    assert hpa["spec"]["metrics"][0]["resource"]["name"] == "cpu"
    found = await without.condition("ScalingActive")
    assert (found["status"], found["reason"]) == ("False", reason)
    assert "set provider: HPA" in found["message"]
    assert (await without.condition("Accepted"))["status"] == "True"
    assert await planned(without) == []


async def test_request_metrics_without_keda_come_from_the_custom_metrics_api(api: ApiServer) -> None:
    metrics = [{"type": "QueueDepth", "averageValue": "1500m"}]
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    pool = await a_tenant(api, autoscaling={"metrics": metrics, "behavior": behavior})
    spec = (await api.get("HorizontalPodAutoscaler", pool))["spec"]
    (metric,) = spec["metrics"]
    assert metric["pods"]["metric"]["name"] == "tts_queue_depth"
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "1500m"}
    down = spec["behavior"]["scaleDown"]
    assert (down["stabilizationWindowSeconds"], down["policies"][1]) == (
        60,
        {"type": "Pods", "value": 1, "periodSeconds": 60},
    )
    assert await planned(api) == []


async def test_a_target_of_nothing_is_refused(api: ApiServer) -> None:
    model = await api.publish_model()
    metrics = [{"type": "InFlight", "averageValue": "0"}]
    with pytest.raises(Exception, match="averageValue must be greater than 0"):
        await api.user.create(tenant_body(model, key=api.key(), autoscaling={"metrics": metrics}))
