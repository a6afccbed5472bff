"""An object is held with all that reconciles read of it, and no more."""

from __future__ import annotations

import copy
import gc
import tracemalloc
from typing import Any

import pytest

from tests.support.operator_builders import observe, resolved, settle
from tests.support.resources import UID, tenant_body
from tts_operator.informer.held_object import MAX_FOREIGN_BYTES, HeldObject
from tts_operator.informer.indexer import Indexer
from tts_operator.informer.shared_bytes import SharedBytes
from tts_operator.objects.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    NAMESPACE,
    POD,
    SCALED_OBJECT,
    TENANT,
    Kind,
    kind_of,
)
from tts_operator.objects.manifest import Body
from tts_operator.snapshot.memory_kills import past_kills
from tts_operator.snapshot.pod_failures import pod_failures

OURS = {
    "apiVersion": "ttsfleet.io/v1alpha1",
    "kind": "TTSTenant",
    "name": "acme",
    "uid": UID,
    "controller": True,
}
FOREIGN_CONFIG_MAPS, CONFIG_MAP_BYTES = 210, 900_000
OUTLINE_BYTES = 4096


def held(kind: Kind, body: Body) -> HeldObject:
    return HeldObject(kind, body, SharedBytes())


def config_map(name: str = "acme-quota", **parts: Any) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": "team",
        "uid": name,
        "resourceVersion": "7",
        "labels": {"ttsfleet.io/tenant": "acme"},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", **parts, "metadata": {**metadata, **parts.get("metadata", {})}}


@pytest.mark.parametrize("child", settle(observe()), ids=lambda child: f"{child['kind']} {child['metadata']['name']}")
def test_a_child_is_held_whole(child: dict[str, Any]) -> None:
    """With the version of each field's manager: the plan tells from them what it no longer sets, and who interferes."""
    child = copy.deepcopy(child)
    child["metadata"]["resourceVersion"] = "12"
    child["metadata"]["managedFields"] = [
        {"manager": "tts-operator", "operation": "Apply", "time": "2026-11-04T12:00:00Z", "fieldsV1": {"f:spec": {}}},
        {"manager": "someone", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}},
    ]
    assert held(kind_of(child["apiVersion"], child["kind"]), child).body() == child


def test_measurements_of_an_autoscaler_are_no_part_of_its_content() -> None:
    """They change every 15 s, and would make each of them a change."""

    def autoscaler(**status: Any) -> dict[str, Any]:
        return {
            "metadata": {"name": "acme", "ownerReferences": [OURS]},
            "status": {"currentReplicas": 1, **status},
        }

    first = held(HORIZONTAL_POD_AUTOSCALER, autoscaler(currentMetrics=[1], lastScaleTime="noon"))
    assert first.content == held(HORIZONTAL_POD_AUTOSCALER, autoscaler(currentMetrics=[2])).content
    assert first.content != held(HORIZONTAL_POD_AUTOSCALER, autoscaler(conditions=[])).content


def crashing(reason: str = "OOMKilled") -> dict[str, Any]:
    container = {"name": "tts-server", "image": "tts:1", "resources": {"limits": {"memory": "448Mi"}}}
    ended = {
        "reason": reason,
        "exitCode": 137,
        "startedAt": "2026-11-04T11:00:00Z",
        "finishedAt": "2026-11-04T11:59:00Z",
    }
    status = {"name": "tts-server", "ready": True, "restartCount": 2, "state": {"running": {}}}
    return {
        "metadata": {"name": "acme-1", "namespace": "team", "labels": {"ttsfleet.io/pool": "acme-espeak"}},
        "spec": {"containers": [{**container, "env": [{"name": "A", "value": "b" * 1000}]}], "nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{**status, "lastState": {"terminated": ended}}],
            "podIPs": [{"ip": "10.0.0.1"}],
        },
    }


PODS: dict[str, dict[str, Any]] = {
    "killed for memory, and ready again": crashing(),
    "killed while not ready": {
        **crashing(),
        "status": {"containerStatuses": [{**crashing()["status"]["containerStatuses"][0], "ready": False}]},
    },
    "an image that is not there": {
        **crashing(),
        "status": {
            "containerStatuses": [
                {"name": "tts-server", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}}
            ]
        },
    },
    "no node": {
        **crashing(),
        "status": {"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/3 nodes"}]},
    },
}


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_a_pod_fails_for_the_same_reasons_as_it_is_held(pod: dict[str, Any]) -> None:
    body = held(POD, pod).body()
    now = resolved(observe()).now
    assert pod_failures(None, [body]) == pod_failures(None, [pod])
    assert list(past_kills([body], now)) == list(past_kills([pod], now))
    assert "nodeName" not in body["spec"]
    assert "env" not in body["spec"]["containers"][0]


def test_of_a_namespace_its_labels_are_held() -> None:
    namespace = {"metadata": {"name": "team", "labels": {"a": "b"}, "annotations": {"c": "d"}, "resourceVersion": "3"}}
    assert held(NAMESPACE, namespace).body()["metadata"] == {
        "name": "team",
        "labels": {"a": "b"},
        "resourceVersion": "3",
    }


def test_of_a_foreign_object_its_metadata_are_held() -> None:
    """Enough to say in a condition that it has the name of a child, and whose it is."""
    stranger = {"kind": "App", "apiVersion": "example.com/v1", "name": "other", "uid": "9", "controller": True}
    body = config_map(data={"a": "b"}, metadata={"ownerReferences": [stranger], "finalizers": ["example.com/f"]})
    found = held(CONFIG_MAP, body).body()
    assert "data" not in found
    assert found["metadata"]["ownerReferences"] == [stranger]
    assert found["metadata"]["finalizers"] == ["example.com/f"]
    assert held(CONFIG_MAP, config_map(data={"a": "b"}, metadata={"ownerReferences": [OURS]})).body()["data"]


def test_a_deployment_that_is_an_orphan_is_held_whole() -> None:
    """Its pods are judged like those of the pool whose name it has."""
    deployment = next(child for child in settle(observe()) if child["kind"] == "Deployment")
    orphan = {**deployment, "metadata": {**deployment["metadata"], "ownerReferences": []}}
    assert held(DEPLOYMENT, orphan).body()["spec"] == deployment["spec"]


def test_an_autoscaler_of_somebody_else_is_held_with_what_it_scales() -> None:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "acme-espeak"}, "metrics": [{"type": "Resource"}]}
    found = held(HORIZONTAL_POD_AUTOSCALER, {"metadata": {"name": "keda"}, "spec": spec}).body()
    assert found["spec"] == {"scaleTargetRef": spec["scaleTargetRef"]}


def test_an_autoscaler_of_keda_is_held_with_what_it_reports() -> None:
    """Whether it can read its metric decides the tenant's condition; its measurements change every 15 s."""
    owner = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "a", "uid": "1", "controller": True}
    conditions = [{"type": "ScalingActive", "status": "False"}]
    status = {"conditions": conditions, "currentMetrics": [{"type": "External"}]}
    body = {"metadata": {"name": "keda-hpa-a", "ownerReferences": [owner]}, "spec": {}, "status": status}
    assert held(HORIZONTAL_POD_AUTOSCALER, body).body()["status"] == {"conditions": conditions}


def test_of_a_scaled_object_no_time_is_held_that_changes_with_every_poll() -> None:
    conditions = [{"type": "Ready", "status": "True"}]
    status = {"conditions": conditions, "lastActiveTime": "2026-11-04T12:00:00Z"}
    body = {"metadata": {"name": "a", "ownerReferences": [OURS]}, "spec": {}, "status": status}
    assert held(SCALED_OBJECT, body).body()["status"] == {"conditions": conditions}


def test_a_child_without_its_label_is_still_its_owners() -> None:
    """Somebody took the label off: the tenant has to be looked at at once, not with the next periodic list."""

    def owner(labels: dict[str, str], *owners: tuple[str, str]) -> str:
        references = [{"apiVersion": version, "kind": kind, "name": "owner"} for version, kind in owners]
        return held(DEPLOYMENT, {"metadata": {"name": "a", "labels": labels, "ownerReferences": references}}).owner

    ours = ("ttsfleet.io/v1alpha1", "TTSTenant")
    assert owner({"ttsfleet.io/tenant": "acme"}, ours) == "acme"
    assert owner({}, ("apps/v1", "ReplicaSet"), ours) == "owner"
    assert owner({}, ("apps/v1", "ReplicaSet")) == ""
    assert owner({}) == ""


def test_a_label_makes_no_tenant_a_child() -> None:
    body = tenant_body()
    body["metadata"]["labels"] = {"ttsfleet.io/tenant": "other"}
    assert held(TENANT, body).tenant == ""


def test_large_foreign_objects_cost_little_memory() -> None:
    indexer = Indexer()
    gc.collect()
    tracemalloc.start()
    for number in range(FOREIGN_CONFIG_MAPS):
        indexer.put(CONFIG_MAP, config_map(f"large-{number}", data={"a": f"{number:x}" * (CONFIG_MAP_BYTES // 2)}))
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert indexer.count(CONFIG_MAP) == FOREIGN_CONFIG_MAPS
    assert used < 20e6


def test_field_sets_that_objects_have_in_common_are_held_once() -> None:
    shared = SharedBytes()
    fields: dict[str, Any] = {"f:data": {f"f:{number}": {} for number in range(100)}}

    def of(name: str) -> HeldObject:
        entries = [{"manager": "tts-operator", "operation": "Apply", "time": name, "fieldsV1": fields}]
        return HeldObject(CONFIG_MAP, config_map(name, metadata={"managedFields": entries}), shared)

    one, other = of("one"), of("other")
    assert one.managers[1] is other.managers[1]


def test_texts_beyond_the_limit_are_not_shared() -> None:
    """Whoever edits objects decides about the field sets: the set of them must not grow without end."""
    shared = SharedBytes(max_bytes=10)
    first = shared.one(b"12345678")
    assert shared.one(bytes(bytearray(b"12345678"))) is first
    late = bytes(bytearray(b"abcdefgh"))
    assert shared.one(late) is late
    assert shared.one(bytes(bytearray(b"abcdefgh"))) is not late


STRANGER = {**OURS, "uid": "somebody else's"}
LONG = "\x01" * 250_000


def grown(owner: dict[str, Any] | None, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {**metadata, **({"ownerReferences": [owner]} if owner else {})}}


def large_deployment(owner: dict[str, Any] | None) -> dict[str, Any]:
    body = copy.deepcopy(next(child for child in settle(observe()) if child["kind"] == "Deployment"))
    body["metadata"] |= grown(owner, annotations={"a": LONG})["metadata"]
    if owner is None:
        del body["metadata"]["ownerReferences"]
    body["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": LONG * 4}]
    return body


def field_sets() -> list[dict[str, Any]]:
    """Entries that no two objects have in common."""
    return [{"manager": LONG, "operation": "Update", "fieldsV1": {"f:data": {f"f:{LONG}": {}}}}]


HOSTILE: dict[str, tuple[Kind, dict[str, Any]]] = {
    "a foreign Deployment": (DEPLOYMENT, large_deployment(None)),
    "a Deployment with a forged controller": (DEPLOYMENT, large_deployment(STRANGER)),
    "a ConfigMap with a forged controller": (CONFIG_MAP, config_map(data={"a": LONG * 4}, **grown(STRANGER))),
    "a forged controller with a long name": (CONFIG_MAP, config_map(**grown({**OURS, "name": LONG}))),
    "the managers of a foreign ConfigMap": (CONFIG_MAP, config_map(**grown(None, managedFields=field_sets()))),
    "the finalizers of a foreign ConfigMap": (
        CONFIG_MAP,
        config_map(**grown(None, finalizers=["example.com/" + "a" * 300] * 200)),
    ),
    "the labels of a foreign ConfigMap": (
        CONFIG_MAP,
        config_map(metadata={"labels": {f"{number:a>300}": "b" for number in range(3000)}}),
    ),
    "the owners of a foreign ConfigMap": (
        CONFIG_MAP,
        config_map(**grown({**STRANGER, "kind": "App", "controller": False, "name": LONG})),
    ),
    "the annotations of a pod": (POD, {**crashing(), **config_map(**grown(None, annotations={"a": LONG}))}),
    "the annotations of a TTSTenant": (TENANT, {**tenant_body(), **config_map(**grown(None, annotations={"a": LONG}))}),
    "the release of a TTSTenant": (
        TENANT,
        {**tenant_body(), **config_map(**grown(None, annotations={"ttsfleet.io/release": LONG}))},
    ),
    "the target of a foreign HPA": (
        HORIZONTAL_POD_AUTOSCALER,
        config_map(spec={"scaleTargetRef": {"kind": "Deployment", "name": LONG}}),
    ),
}


@pytest.mark.parametrize(("kind", "body"), HOSTILE.values(), ids=HOSTILE)
def test_whoever_may_edit_a_namespace_cannot_make_an_object_cost_much(kind: Kind, body: dict[str, Any]) -> None:
    shared = SharedBytes(max_bytes=2 * 10**6)
    found = HeldObject(kind, body, shared)
    texts = (found.name, found.namespace, found.uid, found.tenant, found.owner)
    assert found.held_bytes + sum(map(len, texts)) < OUTLINE_BYTES
    assert found.body()["metadata"]["name"] == body["metadata"]["name"]
    ordinary = bytes(10**6)
    assert shared.one(ordinary) is ordinary
    assert shared.one(bytes(bytearray(10**6))) is ordinary, "it fills what objects share"


@pytest.mark.parametrize(("kind", "body"), HOSTILE.values(), ids=HOSTILE)
def test_another_content_is_a_change_though_it_is_not_held(kind: Kind, body: dict[str, Any]) -> None:
    changed = copy.deepcopy(body)
    changed["metadata"].setdefault("labels", {})["x"] = "y"
    assert held(kind, body).same_content(held(kind, copy.deepcopy(body)))
    assert not held(kind, body).same_content(held(kind, changed))


@pytest.mark.parametrize("child", settle(observe()), ids=lambda child: f"{child['kind']} {child['metadata']['name']}")
def test_what_the_operator_writes_is_far_from_the_limit(child: dict[str, Any]) -> None:
    found = held(kind_of(child["apiVersion"], child["kind"]), child)
    assert not found.digest
    assert found.held_bytes < MAX_FOREIGN_BYTES / 4


def test_an_outline_says_what_is_read_of_a_foreign_object() -> None:
    metadata = {
        "labels": {"ttsfleet.io/tenant": "acme", "app.kubernetes.io/managed-by": "tts-operator", "a": "b"},
        "ownerReferences": [STRANGER],
        "finalizers": ["example.com/f"],
        "deletionTimestamp": "2026-11-04T12:00:00Z",
        "annotations": {"a": LONG},
    }
    found = held(CONFIG_MAP, config_map(data={"a": "b"}, metadata=metadata))
    assert found.partial
    assert (found.tenant, found.managed) == ("acme", True)
    outlined = found.body()["metadata"]
    assert outlined["ownerReferences"] == [STRANGER]
    assert outlined["finalizers"] == ["example.com/f"]
    assert outlined["deletionTimestamp"] == metadata["deletionTimestamp"]
    assert "annotations" not in outlined
