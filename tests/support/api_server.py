"""A namespace on a real API server for a test of the operator: users who change objects, and ways to read them."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.operator_builders import built
from tests.support.resources import Object, model_body
from tts_operator.clock import SystemClock
from tts_operator.cluster.client import JSON, MERGE, Cluster, Request, Write, collect, path_of
from tts_operator.cluster.errors import NotFound
from tts_operator.cluster.paths import collection_path
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile
from tts_operator.informer.add_ons import AddOns
from tts_operator.informer.reader import LiveReader, Reader
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CHILDREN, EVENT, KINDS, Scope, kind_of
from tts_operator.objects.labels import ROLLOUT, TENANT_LABEL, selector
from tts_operator.objects.manifest import Body, Ref, ref_of
from tts_operator.observe.reader import observe
from tts_operator.plan.plan import plan
from tts_operator.resolve.resolve import resolve
from tts_operator.settings import Settings

SETTINGS = Settings(
    server_image="example.invalid/tts-server:1", namespace="ttsfleet-system", allowed_hosts=("*.example", "*.store.svc")
)
CLOCK = SystemClock()
DAY = {"default": {"minReplicas": 2, "maxReplicas": 4}}
PATIENCE_SECONDS = 60.0
SETTLED_SECONDS = 120.0
ROLLOUT_PATHS = (
    "/apis/apps/v1/namespaces/{}/deployments",
    "/apis/apps/v1/namespaces/{}/replicasets",
    "/api/v1/namespaces/{}/pods",
)
REVISION = "deployment.kubernetes.io/revision"
NUMBERS = itertools.count(1)


@dataclass
class KubernetesUser:
    """A user with kubectl, who changes objects as a field manager of their own."""

    cluster: Cluster
    name: str = "kubectl-client-side-apply"

    async def create(self, body: Object) -> Body:
        ref = ref_of(body)
        return await self.post(collection_path(kind_of(ref.api_version, ref.kind), ref.namespace), body)

    async def post(self, path: str, body: Object) -> Body:
        """Create something of any kind, also of those that the operator knows nothing of."""
        return await self.cluster.send(Request("POST", path, {"fieldManager": self.name}, body))

    async def patch(self, ref: Ref, change: Object, subresource: str = "") -> Body:
        path = path_of(ref) + (f"/{subresource}" if subresource else "")
        return await self.cluster.send(Request("PATCH", path, {"fieldManager": self.name}, change, MERGE))

    async def put(self, body: Object) -> Body:
        """Create or replace: a field that was set before and is not in `body` is removed."""
        ref = ref_of(body)
        live = await self.cluster.get(ref)
        if live is None:
            return await self.create(body)
        metadata = {**body["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
        request = Request("PUT", path_of(ref), {"fieldManager": self.name}, {**body, "metadata": metadata})
        return await self.cluster.send(request)

    async def scale(self, ref: Ref, replicas: int) -> None:
        await self.patch(ref, {"spec": {"replicas": replicas}}, "scale")

    async def delete(self, ref: Ref) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        await self.cluster.send(Request("DELETE", path_of(ref), {}, body, JSON))


@dataclass
class ApiServer:
    """One namespace of its own on the run's API server, the operator's client of it, and a user."""

    namespace: str
    cluster: Cluster
    user: KubernetesUser
    kubeconfig: Path
    writes: list[Write] = field(default_factory=list)
    reader: Reader | None = None
    """Reader of copies; None: reconciles read everything from the API server."""
    add_ons: AddOns = field(default_factory=AddOns)
    settings: Settings = SETTINGS
    caught_up: Callable[[Key], Awaitable[None]] | None = None
    """Waits until the copies are as the API server's objects are."""

    async def heard(self, key: Key) -> None:
        """Wait until an operator has heard of everything that has happened to a tenant."""
        if self.caught_up is not None:
            await self.caught_up(key)

    async def context(self, key: Key) -> ReconcileContext:
        """An operator that has just started, and has heard of everything that has happened."""
        await self.heard(key)
        reader = self.reader or LiveReader(self.cluster, self.add_ons)
        return ReconcileContext(self.cluster, self.settings, CLOCK, reader=reader)

    def key(self, name: str = "acme") -> Key:
        return Key(self.namespace, name)

    def ref(self, kind: str, name: str) -> Ref:
        row = next(each for each in KINDS if each.name == kind)
        return Ref.of(row, "" if row.scope is Scope.CLUSTER else self.namespace, name)

    async def publish_model(self, name: str = "", **spec: Any) -> str:
        """Create a model, by default with a name that no other test uses."""
        name = name or f"espeak-{next(NUMBERS)}"
        await self.user.create(model_body(name, **spec))
        return name

    async def settled(self, name: str = "acme") -> None:
        """Wait until the API server's own controllers have acted on everything of the tenant.

        Then a reading holds every pod that its Deployments ask for, and none of a Deployment that was deleted.
        """
        what = f"the controllers have caught up with {name}"
        await eventually(lambda: self.is_settled(name), what, SETTLED_SECONDS, poll_seconds=0.2)

    async def listed(self, path: str, name: str) -> list[Body]:
        """Objects with the tenant's label, also of a kind that the operator does not read."""
        selector = {"labelSelector": f"{TENANT_LABEL}={name}"}
        found: list[Body] = (await self.cluster.send(Request("GET", path.format(self.namespace), selector)))["items"]
        return found

    async def is_settled(self, name: str) -> bool:
        """Read owners before what they own: what a controller changes meanwhile makes the counts differ."""
        deployments, replica_sets, pods = [await self.listed(path, name) for path in ROLLOUT_PATHS]
        if any("deletionTimestamp" in each["metadata"] for each in (*deployments, *replica_sets, *pods)):
            return False
        by_deployment, by_replica_set = by_controller(replica_sets), by_controller(pods)
        return (
            by_deployment.keys() <= {each["metadata"]["uid"] for each in deployments}
            and by_replica_set.keys() <= {each["metadata"]["uid"] for each in replica_sets}
            and all(rolled_out(each, by_deployment[each["metadata"]["uid"]]) for each in deployments)
            and all(counted(each, len(by_replica_set[each["metadata"]["uid"]])) for each in replica_sets)
        )

    async def get(self, kind: str, name: str) -> Body:
        found = await self.cluster.get(self.ref(kind, name))
        assert found is not None, f"no {kind} {name}"
        return found

    async def children(self, name: str = "acme") -> dict[Ref, Body]:
        """Everything that carries the tenant's label, Secrets too."""
        lists = [
            await collect(self.cluster.list(kind, self.namespace, selector(name, kind.labels)))
            for kind in CHILDREN
            if self.add_ons.has(kind)
        ]
        return {ref_of(child): child for found in lists for child in found}

    async def events(self) -> list[Body]:
        return await collect(self.cluster.list(EVENT, self.namespace))

    async def condition(self, type_: str, name: str = "acme") -> Mapping[str, Any]:
        body = await self.get("TTSTenant", name)
        conditions = (body.get("status") or {}).get("conditions") or ()
        return next((found for found in conditions if found["type"] == type_), {})

    async def status(self, name: str = "acme") -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await self.get("TTSTenant", name)).get("status") or {}
        return found


async def eventually(
    holds: Callable[[], Awaitable[bool]],
    what: str,
    within_seconds: float = PATIENCE_SECONDS,
    poll_seconds: float = 0.05,
) -> None:
    """Poll until it holds: controllers take the time they take."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while not await holds():
        assert loop.time() < deadline, f"not within {within_seconds} s: {what}"
        await asyncio.sleep(poll_seconds)


async def converge(api: ApiServer, key: Key | None = None, within: int = 10) -> None:
    """Reconcile as the controller does, each time once the controllers have settled, until nothing is left to write."""
    key = key or api.key()
    for _ in range(within):
        await api.settled(key.name)
        before = len(api.writes)
        await reconcile(key, await api.context(key))
        if len(api.writes) == before:
            return
    raise AssertionError(f"still writing after {within} reconciles: {api.writes[-5:]}")


async def planned(api: ApiServer, key: Key | None = None) -> list[str]:
    """The actions that the next reconcile would take."""
    key = key or api.key()
    sources = await (await api.context(key)).sources(key)
    observed = await observe(sources, key, CLOCK.now())
    return [str(action) for action in plan(built(resolve(observed, api.settings, CLOCK.now())), observed)]


def by_controller(bodies: Iterable[Body]) -> dict[str, list[Body]]:
    """Objects by the UID of their controller; those without one are left out."""
    owned = defaultdict(list)
    for body in bodies:
        for owner in body["metadata"].get("ownerReferences") or ():
            if owner.get("controller"):
                owned[owner["uid"]].append(body)
    return owned


def counted(body: Body, replicas: int) -> bool:
    """Whether the controller of a Deployment or ReplicaSet has seen its spec, and counts so many pods."""
    status = body.get("status") or {}
    seen = status.get("observedGeneration", 0) >= body["metadata"]["generation"]
    return seen and bool(status.get("replicas", 0) == replicas)


def rolled_out(deployment: Body, replica_sets: Sequence[Body]) -> bool:
    """Whether a Deployment's pods are as many as it asks for, and the latest template has its ReplicaSet.

    No pod becomes ready without a kubelet, so that a changed template leaves the old pods beside the surge of new ones.
    """
    total = sum(each["spec"].get("replicas", 1) for each in replica_sets)
    revision = (deployment["metadata"].get("annotations") or {}).get(REVISION)
    latest = any((each["metadata"].get("annotations") or {}).get(REVISION) == revision for each in replica_sets)
    replicas = deployment["spec"].get("replicas", 1)
    enough = total >= replicas if replicas else total == 0
    return enough and latest and counted(deployment, total)


def specs(children: Mapping[Ref, Body]) -> dict[str, Any]:
    """Reduce children to names, labels, owners and contents, without versions, UIDs and times."""
    return {str(ref): essence(child) for ref, child in sorted(children.items())}


def essence(child: Body) -> Any:
    content = {name: value for name, value in child.items() if name not in {"metadata", "status"}}
    metadata = child["metadata"]
    annotations = {
        name: value
        for name, value in (metadata.get("annotations") or {}).items()
        if not name.startswith("deployment.kubernetes.io/") and name != ROLLOUT
    }
    content["labels"] = metadata.get("labels")
    content["annotations"] = annotations
    content["owners"] = [owner["name"] for owner in metadata.get("ownerReferences") or ()]
    if child["kind"] == "Service":
        content["spec"] = {
            name: value for name, value in content["spec"].items() if name not in {"clusterIP", "clusterIPs"}
        }
    if child["kind"] == "Secret":
        content["data"] = sorted(content.get("data") or ())
    text = json.dumps(content, sort_keys=True)
    for owner in metadata.get("ownerReferences") or ():  # server.json names the tenant's UID
        text = text.replace(owner["uid"], "UID")
    # While old and new pods serve side by side, cached audio has a version of that moment: it is not compared.
    return json.loads(re.sub(r'\\"weightsDigest\\": \\"[0-9a-f-]+\\"', "WEIGHTS", text))


def picture(key: Key, children: Mapping[Ref, Body], *, suspended: bool) -> str:
    """The children without what differs between two tenants of one spec: names, times, and replicas just now."""
    found = {ref: dict(child) for ref, child in children.items()}
    for ref, child in found.items():
        if ref.kind == "Deployment":
            replicas = "none" if child["spec"]["replicas"] == 0 else "some"
            found[ref] = {**child, "spec": {**child["spec"], "replicas": replicas}}
        if ref.kind == "Secret":  # a tenant that has lived longer has more signing keys
            found[ref] = {**child, "data": {TIME.sub("TIME", name): "" for name in child.get("data") or ()}}
    if suspended:  # one that was born suspended has neither
        found = {ref: child for ref, child in found.items() if ref.kind not in STARTED}
    text = json.dumps(specs(found), sort_keys=True, indent=1)
    return TIME.sub("TIME", re.sub(rf"\b{re.escape(key.name)}\b", "NAME", text)).replace(key.namespace, "NAMESPACE")


STARTED = {"Deployment", "HorizontalPodAutoscaler"}
TIME = re.compile(r"\d{8}T\d{6}Z|\d{4}-\d{2}-\d{2}T[\d:+]+")
"""In the names of signing keys, and of when the current one began to sign."""


async def exists(cluster: Cluster, ref: Ref) -> bool:
    try:
        return await cluster.get(ref) is not None
    except NotFound:
        return False
