"""What a test of the operator needs of the real API server: people who change things, and ways to look."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tts_operator.cluster.client import JSON, MERGE, Cluster, Request, Write, collect, collection_path, path_of
from tts_operator.cluster.errors import NotFound
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CHILDREN, EVENT, KINDS, Scope, kind_of
from tts_operator.objects.labels import ROLLOUT, selector
from tts_operator.objects.manifest import Body, Ref, ref_of
from tts_operator.objects.names import API_VERSION
from tts_operator.settings import Settings

SETTINGS = Settings(server_image="example.invalid/tts-server:1", namespace="ttsfleet-system")
PATIENCE_SECONDS = 20.0
NUMBERS = itertools.count(1)

Object = dict[str, Any]


def model(name: str = "espeak", **spec: Any) -> Object:
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    return {
        "apiVersion": API_VERSION,
        "kind": "TTSModel",
        "metadata": {"name": name},
        "spec": {
            "engine": "Espeak",
            "languages": ["en"],
            "voices": [{"name": "en-us"}],
            "sampleRateHz": 22050,
            "precisions": [{"name": "fp32", "resources": resources}],
            **spec,
        },
    }


def tenant(key: Key, *models: str, **spec: Any) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "TTSTenant",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {"models": [{"name": name} for name in models or ("espeak",)], **spec},
    }


@dataclass
class Person:
    """Somebody with a kubectl: changes things under a manager's name of their own."""

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
        """Make it so, whether it exists or not: what was set before and is not in `body` goes."""
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
class World:
    """One namespace of its own on the shared API server, an operator's way to it, and a person."""

    namespace: str
    cluster: Cluster
    person: Person
    kubeconfig: Path
    writes: list[Write] = field(default_factory=list)

    def key(self, name: str = "acme") -> Key:
        return Key(self.namespace, name)

    def ref(self, kind: str, name: str) -> Ref:
        row = next(each for each in KINDS if each.name == kind)
        return Ref.of(row, "" if row.scope is Scope.CLUSTER else self.namespace, name)

    async def publishes_model(self, name: str = "", **spec: Any) -> str:
        """A model, by default with a name that no other test uses."""
        name = name or f"espeak-{next(NUMBERS)}"
        await self.person.create(model(name, **spec))
        return name

    async def get(self, kind: str, name: str) -> Body:
        found = await self.cluster.get(self.ref(kind, name))
        assert found is not None, f"no {kind} {name}"
        return found

    async def children(self, name: str = "acme") -> dict[Ref, Body]:
        """Everything that carries the tenant's label, Secrets too."""
        lists = [await collect(self.cluster.list(kind, self.namespace, selector(name))) for kind in CHILDREN]
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


async def eventually(holds: Callable[[], Awaitable[bool]], what: str, within_seconds: float = PATIENCE_SECONDS) -> None:
    """Look again and again until it holds: controllers take the time they take."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while not await holds():
        assert loop.time() < deadline, f"not within {within_seconds} s: {what}"
        await asyncio.sleep(0.05)


def specs(children: Mapping[Ref, Body]) -> dict[str, Any]:
    """What tells two sets of children apart: names, labels, owners and contents; not versions, UIDs or times."""
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
    # While old pods and new ones answer side by side a sound has a name of that moment: it is not what is compared.
    return json.loads(re.sub(r'\\"weightsDigest\\": \\"[0-9a-f]+\\"', "WEIGHTS", text))


async def exists(cluster: Cluster, ref: Ref) -> bool:
    try:
        return await cluster.get(ref) is not None
    except NotFound:
        return False
