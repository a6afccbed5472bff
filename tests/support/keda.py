"""KEDA's kind, as far as the operator uses it, and what KEDA does with an object of it.

The schema has the fields of KEDA 2.20 that the operator writes or reads, and no others: the API server prunes a field
that KEDA does not know, and a reconcile that wrote one would never converge.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from hack.cluster.control_plane import ControlPlane
from hack.cluster.errors import ClusterError
from tests.support.api_server import ApiServer, KubernetesUser
from tests.support.control_planes import apply
from tests.support.resources import Object
from tts_operator.cluster.errors import NotFound
from tts_operator.objects.kinds import HORIZONTAL_POD_AUTOSCALER, SCALED_OBJECT
from tts_operator.objects.labels import KEDA_PAUSED
from tts_operator.objects.manifest import Body, Ref

SERVED_SECONDS = 60.0
TEXT = {"type": "string"}
NUMBER = {"type": "integer", "format": "int32"}
TEXTS = {"type": "object", "additionalProperties": TEXT}


def fields(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def entries(**properties: Any) -> dict[str, Any]:
    return {"type": "array", "items": fields(**properties)}


RULES = fields(
    stabilizationWindowSeconds=NUMBER,
    policies={**entries(type=TEXT, value=NUMBER, periodSeconds=NUMBER), "x-kubernetes-list-type": "atomic"},
    selectPolicy=TEXT,
)
SPEC = fields(
    scaleTargetRef=fields(apiVersion=TEXT, kind=TEXT, name=TEXT),
    minReplicaCount=NUMBER,
    maxReplicaCount=NUMBER,
    triggers={
        **entries(type=TEXT, metricType=TEXT, metadata=TEXTS, authenticationRef=fields(kind=TEXT, name=TEXT)),
        "minItems": 1,
    },
    advanced=fields(horizontalPodAutoscalerConfig=fields(behavior=fields(scaleUp=RULES, scaleDown=RULES))),
)
STATUS = fields(
    hpaName=TEXT, lastActiveTime=TEXT, conditions=entries(type=TEXT, status=TEXT, reason=TEXT, message=TEXT)
)
CRD: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{SCALED_OBJECT.plural}.{SCALED_OBJECT.group}"},
    "spec": {
        "group": SCALED_OBJECT.group,
        "scope": "Namespaced",
        "names": {"kind": SCALED_OBJECT.name, "plural": SCALED_OBJECT.plural, "singular": "scaledobject"},
        "versions": [
            {
                "name": SCALED_OBJECT.version,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": fields(spec=SPEC, status=STATUS)},
            }
        ],
    },
}


def install_keda(plane: ControlPlane) -> None:
    """Install KEDA's CRD; returns once the API server serves it, which is a moment after it says so."""
    apply(plane, CRD)
    name = CRD["metadata"]["name"]
    plane.wait_established(name)
    deadline = time.monotonic() + SERVED_SECONDS
    while True:
        try:
            plane.kubectl("get", name, "--all-namespaces")
        except ClusterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


class ActingKeda:
    """Does with one ScaledObject what KEDA 2.20 does: an HPA of its own, a finalizer, a label and a status."""

    def __init__(self, api: ApiServer, pool: str) -> None:
        self.api = api
        self.program = KubernetesUser(api.user.cluster, "keda")
        self.scaled = api.ref(SCALED_OBJECT.name, pool)
        self.hpa = api.ref(HORIZONTAL_POD_AUTOSCALER.name, f"keda-hpa-{pool}")

    async def reconcile(self, *conditions: Object) -> None:
        """One reconcile; `conditions` are those that the HPA then reports."""
        live = await self.api.cluster.get(self.scaled)
        assert live is not None, f"no {self.scaled}"
        labels = {**live["metadata"]["labels"], "scaledobject.keda.sh/name": self.scaled.name}
        await self.program.patch(self.scaled, {"metadata": {"finalizers": ["finalizer.keda.sh"], "labels": labels}})
        ready = {"type": "Ready", "status": "True", "reason": "ScaledObjectReady", "message": "defined correctly"}
        await self.program.patch(self.scaled, {"status": {"hpaName": self.hpa.name, "conditions": [ready]}}, "status")
        if live["metadata"]["annotations"][KEDA_PAUSED] == "true":
            if await self.api.cluster.get(self.hpa) is not None:
                await self.program.delete(self.hpa)
            return
        await self.program.put(self._hpa(live, labels))
        if conditions:
            await self.program.patch(self.hpa, {"status": {"conditions": list(conditions)}}, "status")

    def _hpa(self, live: Body, labels: dict[str, str]) -> Object:
        spec = live["spec"]
        owner = {
            "apiVersion": SCALED_OBJECT.api_version,
            "kind": SCALED_OBJECT.name,
            "name": self.scaled.name,
            "uid": live["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        target = {"type": "Utilization", "averageUtilization": 70}
        return {
            "apiVersion": HORIZONTAL_POD_AUTOSCALER.api_version,
            "kind": HORIZONTAL_POD_AUTOSCALER.name,
            "metadata": {
                "name": self.hpa.name,
                "namespace": self.hpa.namespace,
                "labels": {**labels, "app.kubernetes.io/part-of": self.scaled.name},
                "annotations": live["metadata"]["annotations"],
                "ownerReferences": [owner],
            },
            "spec": {
                "scaleTargetRef": spec["scaleTargetRef"],
                "minReplicas": spec["minReplicaCount"],
                "maxReplicas": spec["maxReplicaCount"],
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
                "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
            },
        }

    async def finalize(self) -> None:
        """Let go of a ScaledObject that is being deleted. Its HPA goes with it, by the garbage collector or by this."""
        await self.program.patch(self.scaled, {"metadata": {"finalizers": None}})
        with suppress(NotFound):
            await self.program.delete(self.hpa)


def refs(api: ApiServer, pool: str) -> tuple[Ref, Ref]:
    """The pool's ScaledObject and the HPA that the operator itself would write."""
    return api.ref(SCALED_OBJECT.name, pool), api.ref(HORIZONTAL_POD_AUTOSCALER.name, pool)
