"""Programs that work against the operator, on a real API server: each is named, and nobody writes for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.api_server import CLOCK, DAY, SETTINGS, ApiServer, KubernetesUser, converge, eventually
from tests.support.resources import Object, tenant_body
from tts_operator.cluster.client import Request, path_of
from tts_operator.cluster.errors import Refused
from tts_operator.controller.reconcile_tenant import ReconcileContext, ReconcileFailed, reconcile
from tts_operator.objects.additions import additions
from tts_operator.objects.diff import difference
from tts_operator.objects.kinds import AddOn, kind_of
from tts_operator.objects.labels import ROLLOUT_MODE
from tts_operator.objects.manifest import Body, Manifest

QUOTAS, LIMIT_RANGES = "/api/v1/namespaces/{}/resourcequotas", "/api/v1/namespaces/{}/limitranges"
POLICIES = "/apis/admissionregistration.k8s.io/v1"
STRATEGIC = "application/strategic-merge-patch+json"
REPLICA_SETS = "/apis/apps/v1/namespaces/{}/replicasets"


async def a_tenant(api: ApiServer, **spec: Any) -> str:
    """One that has converged; returns its pool's name."""
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key(), **spec))
    await converge(api)
    return f"acme-{name}"


def context_of(api: ApiServer) -> ReconcileContext:
    return ReconcileContext(api.cluster, SETTINGS, CLOCK)


@contextlib.asynccontextmanager
async def acting(act: Callable[[], Awaitable[object]], each_seconds: float) -> AsyncIterator[None]:
    """Something that another program does again and again."""

    async def forever() -> None:
        while True:
            with contextlib.suppress(Refused):
                await act()
            await asyncio.sleep(each_seconds)

    task = asyncio.create_task(forever())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def counted(api: ApiServer, reason: str) -> list[int]:
    """The counts of the Event objects of a reason."""
    return [each.get("series", {}).get("count", 1) for each in await api.events() if each["reason"] == reason]


def other(api: ApiServer, manager: str) -> KubernetesUser:
    return KubernetesUser(api.user.cluster, manager)


async def fought(
    api: ApiServer, act: Callable[[], Awaitable[object]], type_: str, reason: str, *, binds_a_team: bool = False
) -> str:
    """Let somebody act while the operator reconciles, until the condition tells. Returns its message."""
    context = context_of(api)

    async def told() -> bool:
        await act()
        await reconcile(api.key(), context)
        found = await api.condition(type_)
        return (found["status"], found["reason"]) == ("False", reason)

    await eventually(told, f"{type_} is False for {reason}")
    assert len(await counted(api, reason)) == 1, "one Event object"
    reports = {"events", "ttstenants/status", "pods"}  # a new pod is told its configuration
    before = len([each for each in api.writes if each.kind not in reports])
    for _ in range(15):
        await act()
        await reconcile(api.key(), context)
    after = len([each for each in api.writes if each.kind not in reports])
    if binds_a_team:
        assert after - before >= 15, "it is corrected each time"
    else:
        assert after - before <= 2, "it pauses"
    assert len(await counted(api, reason)) == 1, "still one"
    message: str = (await api.condition(type_))["message"]
    return message


async def test_a_scaler_that_sets_zero_again_and_again(api: ApiServer) -> None:
    pool = await a_tenant(api, schedule=DAY)
    scaler, deployment = other(api, "night-scaler"), api.ref("Deployment", pool)
    message = await fought(api, lambda: scaler.scale(deployment, 0), "ScalingActive", "ReplicasContested")
    # A Scale of zero has no field `replicas`, so that nobody owns it then: only the audit log has the name.
    assert message.startswith(f"deploy/{pool}: ")
    assert "keeps scaling it" in message


async def test_whoever_scales_beyond_the_bounds_by_the_subresource_alone_is_named(api: ApiServer) -> None:
    """Replicas have an owner from the creation on, so that managedFields have an entry of the subresource."""
    pool = await a_tenant(api, schedule=DAY)
    scaler, deployment, context = other(api, "night-scaler"), api.ref("Deployment", pool), context_of(api)
    numbers = iter(range(20, 900))

    async def told() -> bool:
        await scaler.scale(deployment, next(numbers))
        await reconcile(api.key(), context)
        return bool((await api.condition("ScalingActive"))["reason"] == "ReplicasContested")

    await eventually(told, "the scaler is told")
    live = await api.get("Deployment", pool)
    entries = {each["manager"]: each.get("subresource") for each in live["metadata"]["managedFields"]}
    assert entries["night-scaler"] == "scale"
    message = (await api.condition("ScalingActive"))["message"]
    assert message.startswith(f"deploy/{pool}: field manager night-scaler keeps scaling it")


async def test_a_scaler_that_acts_while_reconciles_run(api: ApiServer) -> None:
    """Every second, and not in turns."""
    pool = await a_tenant(api, schedule=DAY)
    scaler, deployment = other(api, "night-scaler"), api.ref("Deployment", pool)
    context = context_of(api)

    async def told() -> bool:
        await reconcile(api.key(), context)
        return bool((await api.condition("ScalingActive"))["reason"] == "ReplicasContested")

    async with acting(lambda: scaler.patch(deployment, {"spec": {"replicas": 0}}), 1):
        await eventually(told, "the scaler is named")
    assert "night-scaler" in (await api.condition("ScalingActive"))["message"]
    assert len(await counted(api, "ReplicasContested")) == 1


FIELDS: dict[str, tuple[str, str, Object, str]] = {
    "bounds of the HPA": ("HorizontalPodAutoscaler", "{pool}", {"spec": {"maxReplicas": 9}}, "spec.maxReplicas"),
    "kubectl rollout pause": ("Deployment", "{pool}", {"spec": {"paused": True}}, "spec.paused"),
    "an open policy": ("NetworkPolicy", "{pool}", {"spec": {"ingress": [{}]}}, "spec.ingress"),
    "limits": ("ConfigMap", "acme-quota", {"data": {"quota.json": "{}"}}, "data.quota.json"),
}


@pytest.mark.parametrize(("kind", "name", "change", "field"), FIELDS.values(), ids=FIELDS)
async def test_a_field_that_is_changed_again_and_again(
    api: ApiServer, kind: str, name: str, change: Object, field: str
) -> None:
    pool = await a_tenant(api, schedule=DAY)
    program, ref = other(api, "my-gitops"), api.ref(kind, name.format(pool=pool))
    binds = kind != "Deployment"
    message = await fought(api, lambda: program.patch(ref, change), "Programmed", "FieldContested", binds_a_team=binds)
    assert f"{ref}: field manager my-gitops keeps changing {field}" in message
    assert (await api.condition("Ready"))["reason"] != "FieldContested", "callers notice nothing of it"


async def test_a_second_autoscaler_of_a_pool(api: ApiServer) -> None:
    pool = await a_tenant(api, schedule={"default": {"minReplicas": 1, "maxReplicas": 1}})
    rival: Object = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "keda-hpa-acme", "namespace": api.namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": pool},
            "minReplicas": 2,
            "maxReplicas": 4,
        },
    }
    await other(api, "keda").create(rival)
    await reconcile(api.key(), context_of(api))
    found = await api.condition("ScalingActive")
    assert (found["status"], found["reason"]) == ("False", "SecondAutoscaler")
    assert found["message"].startswith(f"hpa/keda-hpa-acme (field manager keda) scales deploy/{pool} too")
    await api.user.scale(api.ref("Deployment", pool), 3)
    await api.user.delete(api.ref("HorizontalPodAutoscaler", "keda-hpa-acme"))
    await reconcile(api.key(), context_of(api))
    assert (await api.condition("ScalingActive"))["reason"] != "SecondAutoscaler"

    async def back() -> bool:
        await reconcile(api.key(), context_of(api))
        return bool((await api.get("Deployment", pool))["spec"]["replicas"] == 1)

    await eventually(back, "what it left behind is within the bounds, by the HPA or by the operator")


def mutating_policy(api: ApiServer, expression: str) -> list[Object]:
    """A MutatingAdmissionPolicy for Deployments of one namespace, and its binding."""
    name = f"rewrite-{api.namespace}"
    rule = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments"],
    }
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": api.namespace}}}
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "matchConstraints": {"resourceRules": [rule], **here},
                "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name},
        },
    ]


async def test_a_policy_that_rewrites_what_is_applied(api: ApiServer) -> None:
    pool = await a_tenant(api, schedule=DAY)
    policy, binding = mutating_policy(api, "Object{spec: Object.spec{minReadySeconds: 77}}")
    await api.user.post(f"{POLICIES}/mutatingadmissionpolicies", policy)
    await api.user.post(f"{POLICIES}/mutatingadmissionpolicybindings", binding)
    context, deployment = context_of(api), api.ref("Deployment", pool)

    async def rewritten() -> bool:
        await api.user.patch(deployment, {"metadata": {"annotations": {"touched": str(len(api.writes))}}})
        live = await api.get("Deployment", pool)
        return bool(live["spec"]["minReadySeconds"] == 77)

    await eventually(rewritten, "the policy is in force")
    await reconcile(api.key(), context)
    await reconcile(api.key(), context)
    found = await api.condition("Programmed")
    assert (found["status"], found["reason"]) == ("False", "RewrittenByAdmission")
    assert f"deploy/{pool}: spec.minReadySeconds is stored as 77, and the operator sets 2" in found["message"]
    assert (await api.condition("Ready"))["reason"] != "RewrittenByAdmission"
    before = len(api.writes)
    for _ in range(10):
        await reconcile(api.key(), context)
    assert len(api.writes) == before, "the rewritten value is left alone"
    assert len(await counted(api, "RewrittenByAdmission")) == 1


async def test_a_finalizer_that_holds_a_child_while_its_tenant_is_deleted(api: ApiServer) -> None:
    """First while the tenant waits for its children, then when it is gone."""
    await a_tenant(api)
    quota = api.ref("ConfigMap", "acme-quota")
    await other(api, "hold-controller").patch(quota, {"metadata": {"finalizers": ["example.com/hold"]}})
    context = context_of(api)
    await api.user.patch(api.ref("TTSTenant", "acme"), {"metadata": {"finalizers": ["example.com/archive"]}})
    await api.user.delete(api.ref("TTSTenant", "acme"))
    await api.user.delete(quota)
    await reconcile(api.key(), context)
    found = await api.condition("Programmed")
    assert (found["status"], found["reason"]) == ("False", "DeletionBlocked")
    assert "the tenant is being deleted, and metadata.finalizers holds it: example.com/archive" in found["message"]
    assert (
        "cm/acme-quota: is being deleted, and metadata.finalizers holds it: example.com/hold (set by field manager"
        in (found["message"])
    )
    assert "hold-controller" in found["message"]
    before = len(api.writes)
    await reconcile(api.key(), context)
    assert len(api.writes) == before
    await api.user.patch(api.ref("TTSTenant", "acme"), {"metadata": {"finalizers": None}})
    await reconcile(api.key(), context)
    held = [each for each in await api.events() if each["regarding"]["kind"] == "ConfigMap"]
    assert [(each["reason"], each["regarding"]["name"]) for each in held] == [("DeletionBlocked", "acme-quota")]
    assert "hold-controller" in held[0]["note"]
    await api.user.patch(quota, {"metadata": {"finalizers": None}})


def other_pod(**fields: Any) -> Object:
    return {"spec": {"template": {"spec": fields}}}


ADDED: dict[str, tuple[str, str, Object]] = {
    # kind, name, strategic merge patch that adds something: of a list, an element
    "a container": ("Deployment", "{pool}", other_pod(containers=[{"name": "evil", "image": "evil:1"}])),
    "a variable": (
        "Deployment",
        "{pool}",
        other_pod(containers=[{"name": "tts-server", "env": [{"name": "LD_PRELOAD", "value": "/data/evil.so"}]}]),
    ),
    "accelerators": (
        "Deployment",
        "{pool}",
        other_pod(containers=[{"name": "tts-server", "resources": {"limits": {"nvidia.com/gpu": "8"}}}]),
    ),
    "another entry in place of server.json": (
        "Deployment",
        "{pool}",
        other_pod(
            volumes=[{"name": "server", "configMap": {"items": [{"key": "server.json", "path": "config.json"}]}}]
        ),
    ),
    "an entry of a ConfigMap": ("ConfigMap", "acme-quota", {"data": {"evil": "{}"}}),
    "a port of a Service": (
        "Service",
        "acme",
        {"spec": {"ports": [{"name": "evil", "port": 22, "protocol": "TCP", "targetPort": 22}]}},
    ),
    "an address of a Service": ("Service", "acme", {"spec": {"externalIPs": ["203.0.113.7"]}}),
}


@pytest.mark.parametrize("manager", ["kubectl-patch", "tts-operator"])
@pytest.mark.parametrize(("kind", "name", "change"), ADDED.values(), ids=ADDED)
async def test_what_others_add_to_a_child_is_removed_whatever_they_call_themselves(
    api: ApiServer, kind: str, name: str, change: Object, manager: str
) -> None:
    ref = api.ref(kind, name.format(pool=await a_tenant(api, schedule=DAY)))
    before = await api.get(kind, ref.name)
    query = {"fieldManager": manager}
    await api.user.cluster.send(Request("PATCH", path_of(ref), query, change, STRATEGIC))
    await converge(api)
    assert without_server_fields(await api.get(kind, ref.name)) == without_server_fields(before)


async def test_what_others_may_add_stays_and_costs_no_write(api: ApiServer) -> None:
    pool = await a_tenant(api, schedule=DAY)
    deployment, before = api.ref("Deployment", pool), len(api.writes)
    change = other_pod(tolerations=[{"key": "gpu", "operator": "Exists"}])
    change["spec"]["template"]["metadata"] = {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}
    change["metadata"] = {"labels": {"team": "a"}, "annotations": {"example.com/a": "b"}}
    await api.user.patch(deployment, change)
    await converge(api)
    assert "deployments" not in {each.kind for each in api.writes[before:]}
    live = await api.get("Deployment", pool)
    assert live["spec"]["template"]["spec"]["tolerations"] == change["spec"]["template"]["spec"]["tolerations"]


FOLDER = Path(__file__).parents[2] / "unit" / "operator" / "desired" / "golden"
GOLDEN = {file.stem: file.read_text() for file in sorted(FOLDER.glob("*.yaml"))}


@pytest.mark.parametrize("text", GOLDEN.values(), ids=GOLDEN)
async def test_what_the_api_server_makes_of_a_child_is_no_difference(api: ApiServer, text: str) -> None:
    """Its defaults are nobody's additions, and a converged tenant costs no write."""
    for body in yaml.safe_load_all(text):
        if kind_of(body["apiVersion"], body["kind"]).add_on in (AddOn.KEDA, AddOn.GATEWAY_API):
            continue  # this cluster lacks them; test_keda and test_exposure install them
        manifest = Manifest.of({**body, "metadata": {**body["metadata"], "namespace": api.namespace}})
        stored = {**await api.cluster.apply(manifest, force=True), "kind": body["kind"]}
        assert difference(manifest.body, stored) == ""
        assert additions(manifest.body, stored, labels=True) == []


def without_server_fields(body: Body) -> Object:
    """The object without what every write changes."""
    changing = {"generation", "resourceVersion", "managedFields", "annotations"}
    metadata = {name: value for name, value in body["metadata"].items() if name not in changing}
    return {**{name: value for name, value in body.items() if name != "status"}, "metadata": metadata}


async def waiting(api: ApiServer) -> tuple[str, ReconcileContext]:
    """A tenant whose pool waits to roll out a change of its model; returns the pool's name."""
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key(), schedule=DAY))
    await converge(api)
    paused = {"metadata": {"annotations": {ROLLOUT_MODE: "Paused"}}}
    await api.user.patch(
        api.ref("TTSModel", name), {**paused, "spec": {"image": "example.invalid/new:2", "threads": 2}}
    )
    context = context_of(api)
    await reconcile(api.key(), context)
    assert (await api.condition("Programmed"))["reason"] == "RolloutPaused"
    return f"acme-{name}", context


async def test_a_deployment_that_waits_for_a_rollout_is_repaired_without_new_pods(api: ApiServer) -> None:
    pool, context = await waiting(api)
    before = await api.get("Deployment", pool)
    change = {
        "metadata": {"labels": {"app.kubernetes.io/name": "mine"}},
        "spec": {"paused": True, "minReadySeconds": 90, "strategy": {"rollingUpdate": {"maxSurge": 9}}},
    }
    await other(api, "kubectl-edit").patch(api.ref("Deployment", pool), change)
    await reconcile(api.key(), context)
    after = await api.get("Deployment", pool)
    assert without_server_fields(after) == without_server_fields(before)
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert (await api.condition("Programmed"))["reason"] == "RolloutPaused"
    writes = len(api.writes)
    await reconcile(api.key(), context)
    assert len(api.writes) == writes


@pytest.mark.parametrize("manager", ["kubectl-patch", "tts-operator"])
@pytest.mark.parametrize("addition", ["a container", "a variable", "accelerators"])
async def test_what_is_added_to_pods_that_wait_for_a_rollout_is_removed(
    api: ApiServer, addition: str, manager: str
) -> None:
    pool, context = await waiting(api)
    before = await api.get("Deployment", pool)
    query = {"fieldManager": manager}
    path = path_of(api.ref("Deployment", pool))
    await api.user.cluster.send(Request("PATCH", path, query, ADDED[addition][2], STRATEGIC))

    async def as_before() -> bool:
        await reconcile(api.key(), context)
        return without_server_fields(await api.get("Deployment", pool)) == without_server_fields(before)

    await eventually(as_before, "the addition is removed, and nothing else changes")


async def test_a_changed_value_of_pods_that_wait_for_a_rollout_is_told_and_corrected_with_it(api: ApiServer) -> None:
    pool, context = await waiting(api)
    evil = other_pod(containers=[{"name": "tts-server", "image": "evil:1"}])
    query = {"fieldManager": "kubectl-set"}
    deployment = api.ref("Deployment", pool)
    await api.user.cluster.send(Request("PATCH", path_of(deployment), query, evil, STRATEGIC))
    await other(api, "kubectl-rollout").patch(deployment, {"spec": {"paused": True}})
    await reconcile(api.key(), context)
    told = await api.condition("Programmed")
    assert (told["status"], told["reason"]) == ("False", "ChangedMeanwhile")
    assert (
        f"deploy/{pool}: field manager kubectl-set has changed spec.template.spec.containers[tts-server].image"
        in (told["message"])
    )
    live = await api.get("Deployment", pool)
    assert not live["spec"].get("paused")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "evil:1"
    model = pool.removeprefix("acme-")
    await api.user.patch(api.ref("TTSModel", model), {"metadata": {"annotations": {ROLLOUT_MODE: None}}})
    await reconcile(api.key(), context)
    live = await api.get("Deployment", pool)
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "example.invalid/new:2"
    await reconcile(api.key(), context)
    assert (await api.condition("Programmed"))["reason"] == "AsSpecified"


HELD: dict[str, tuple[str, str, Object]] = {
    # kind, name, what is written into it while it is held
    "an open policy": ("NetworkPolicy", "{pool}", {"spec": {"ingress": [{}], "egress": [{}]}}),
    "limits": ("ConfigMap", "acme-quota", {"data": {"quota.json": "{}"}}),
    "bounds of the HPA": ("HorizontalPodAutoscaler", "{pool}", {"spec": {"maxReplicas": 900}}),
    "a field of the Deployment": ("Deployment", "{pool}", {"spec": {"minReadySeconds": 90}}),
}


@pytest.mark.parametrize(("kind", "name", "change"), HELD.values(), ids=HELD)
async def test_a_child_that_a_finalizer_holds_is_corrected_all_the_same(
    api: ApiServer, kind: str, name: str, change: Object
) -> None:
    ref = api.ref(kind, name.format(pool=await a_tenant(api, schedule=DAY)))
    before = await api.get(kind, ref.name)
    await api.user.patch(ref, {"metadata": {"finalizers": ["example.com/hold"]}})
    await api.user.delete(ref)
    await api.user.patch(ref, change)
    context = context_of(api)
    with pytest.raises(ReconcileFailed, match="DeletionBlocked"):
        await reconcile(api.key(), context)
    after = await api.get(kind, ref.name)
    for part in change:
        assert {name: after[part][name] for name in change[part]} == {name: before[part][name] for name in change[part]}
    assert (await api.condition("Programmed"))["reason"] == "DeletionBlocked"
    writes = len(api.writes)
    with pytest.raises(ReconcileFailed):
        await reconcile(api.key(), context)
    assert len(api.writes) == writes, "nothing more to write while it is held"
    await api.user.patch(ref, {"metadata": {"finalizers": None}})
    await converge(api)
    assert (await api.get(kind, ref.name))["metadata"]["uid"] != before["metadata"]["uid"]


REFUSED: dict[str, tuple[str, Object, Object, str]] = {
    # where something is created, what, the model's fields, the reason
    "a LimitRange's maximum": (
        LIMIT_RANGES,
        {"kind": "LimitRange", "spec": {"limits": [{"type": "Container", "max": {"cpu": "100m", "memory": "64Mi"}}]}},
        {},
        "LimitRangeViolated",
    ),
    "a LimitRange's minimum": (
        LIMIT_RANGES,
        {"kind": "LimitRange", "spec": {"limits": [{"type": "Pod", "min": {"memory": "8Gi"}}]}},
        {},
        "LimitRangeViolated",
    ),
    "a LimitRange's ratio": (
        LIMIT_RANGES,
        {"kind": "LimitRange", "spec": {"limits": [{"type": "Container", "maxLimitRequestRatio": {"cpu": "1"}}]}},
        {},
        "LimitRangeViolated",
    ),
    "a quota that is full": (
        QUOTAS,
        {"kind": "ResourceQuota", "spec": {"hard": {"limits.cpu": "10m"}}},
        {},
        "QuotaExceeded",
    ),
    "a quota of what the model does not limit": (
        QUOTAS,
        {"kind": "ResourceQuota", "spec": {"hard": {"limits.cpu": "1"}}},
        {"precisions": [{"name": "fp32", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]},
        "QuotaRequiresResources",
    ),
    "a missing PriorityClass": ("", {}, {"priorityClassName": "nobody-made-it"}, "PriorityClassNotFound"),
    "a missing RuntimeClass": ("", {}, {"runtimeClassName": "nobody-made-it"}, "RuntimeClassNotFound"),
}


@pytest.mark.parametrize(("path", "body", "model", "reason"), REFUSED.values(), ids=REFUSED)
async def test_a_refused_pod_says_who_can_change_it(
    api: ApiServer, path: str, body: Object, model: Object, reason: str
) -> None:
    if path:
        metadata = {"name": "strict", "namespace": api.namespace}
        await api.user.post(path.format(api.namespace), {"apiVersion": "v1", **body, "metadata": metadata})
    name = await api.publish_model(**model)
    await api.user.create(tenant_body(name, key=api.key()))
    context = context_of(api)

    async def told() -> bool:
        await reconcile(api.key(), context)
        return (await api.condition("Available"))["reason"] not in {"Starting", "KeysNotFound"}

    await eventually(told, "the reason is told")
    found: Body = await api.condition("Available")
    assert found["reason"] == reason, found["message"]
