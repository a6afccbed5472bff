"""The people of the stories: a platform team that publishes voices, and teams that use them.

Verbs are theirs: a platform `publishes` and `onboards`, a team `sees`, `asks`, `changes` and `keeps_calling`.
"""

from __future__ import annotations

import copy
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from e2e.caller import Answer, Caller, Calls
from e2e.kube import Kube
from hack.cluster.binaries import ROOT
from tts_operator.objects.labels import POOL_LABEL
from tts_operator.objects.names import pool_name

MODEL = yaml.safe_load((ROOT / "examples" / "model-espeak.yaml").read_text(encoding="utf-8"))
CHILDREN = "deployments,services,hpa,pdb,networkpolicies,configmaps,serviceaccounts,pods"
SENTENCE = "Nobody notices."
MISSING_IMAGE = "localhost:1/no-such-server:1"
"""No registry listens there, so that the pull fails at once; resolving a name may take half a minute."""


def fixed(replicas: int) -> dict[str, Any]:
    """Schedule that never changes."""
    return {"default": {"minReplicas": replicas}}


@dataclass(frozen=True)
class Team:
    """Product team with one endpoint."""

    kube: Kube
    name: str
    namespace: str
    model: str
    caller: Caller
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    more_keys: tuple[str, ...] = ()
    """Keys of callers who are counted apart from those with `key`."""

    @property
    def host(self) -> str:
        return f"{self.name}.{self.namespace}.svc"

    @property
    def selector(self) -> str:
        """Select what is the tenant's within its namespace: tenants elsewhere may have the same name."""
        return f"ttsfleet.io/tenant={self.name}"

    @property
    def pool_selector(self) -> str:
        """Select the pods of its first pool in the whole cluster: the model's name is this story's alone."""
        return f"{POOL_LABEL}={pool_name(self.name, self.model)}"

    async def applies(self, spec: dict[str, Any]) -> None:
        """Apply the Secret with the hashes of its keys, and its TTSTenant."""
        keys = {"e2e": self.key} | {f"e2e-{number}": key for number, key in enumerate(self.more_keys)}
        await self.kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": f"{self.name}-keys", "namespace": self.namespace},
                "stringData": {name: hashlib.sha256(key.encode()).hexdigest() for name, key in keys.items()},
            },
            {
                "apiVersion": "ttsfleet.io/v1alpha1",
                "kind": "TTSTenant",
                "metadata": {"name": self.name, "namespace": self.namespace},
                "spec": {"tier": "Enterprise", "models": [{"name": self.model}], **spec},
            },
        )

    async def changes(self, **spec: Any) -> None:
        """Change part of its TTSTenant's spec."""
        await self.kube.patch(self.namespace, f"ttstenant/{self.name}", {"spec": spec})

    async def deletes_its_tenant(self) -> None:
        await self.kube.kubectl("delete", "-n", self.namespace, f"ttstenant/{self.name}", "--wait=false")

    async def sees_condition(self, type_: str, status: str = "True", *, within_seconds: float = 120) -> float:
        """Wait for the condition, observed for the current spec. Returns the seconds it took."""
        return await self._until(
            lambda body: (
                (found := condition(body, type_)) is not None
                and found["status"] == status
                and found.get("observedGeneration", body["metadata"]["generation"]) == body["metadata"]["generation"]
            ),
            within_seconds,
        )

    async def sees_reason(self, type_: str, *reasons: str, within_seconds: float) -> float:
        """Wait until the condition is not True for one of these reasons."""
        return await self._until(
            lambda body: (
                (found := condition(body, type_)) is not None
                and found["status"] != "True"
                and found["reason"] in reasons
            ),
            within_seconds,
        )

    async def sees_message(self, type_: str, words: str, *, within_seconds: float) -> float:
        """Wait until the condition's message contains these words."""
        return await self._until(
            lambda body: (found := condition(body, type_)) is not None and words in found["message"], within_seconds
        )

    async def sees_status(self, field_: str, value: object, *, within_seconds: float) -> float:
        return await self._until(lambda body: body.get("status", {}).get(field_) == value, within_seconds)

    async def reads_condition(self, type_: str) -> dict[str, Any]:
        found = condition(await self.kube.get(self.namespace, f"ttstenant/{self.name}"), type_)
        assert found is not None, f"no condition {type_}"
        return found

    async def sees_pods(self, count: int, *, within_seconds: float) -> float:
        """Wait for exactly this many pods, all ready and none being deleted."""

        def holds(body: dict[str, Any]) -> bool:
            return len(body["items"]) == count and all(map(ready, body["items"]))

        return await self.kube.until(
            self.namespace, "pods", "-l", self.selector, holds=holds, within_seconds=within_seconds
        )

    async def pods(self) -> list[dict[str, Any]]:
        return await self.kube.items(self.namespace, "pods", "-l", self.selector)

    async def children(self) -> list[str]:
        """All objects with its label, as kind/name."""
        found = await self.kube.items(self.namespace, f"{CHILDREN},secrets", "-l", self.selector)
        return sorted(f"{body['kind']}/{body['metadata']['name']}" for body in found)

    async def asks(self, text: str = SENTENCE, *, key: str | None = None, **request: Any) -> Answer:
        """Request speech, with its own key by default."""
        return await self.caller.ask(
            self.host, "/v1/audio/speech", self.key if key is None else key, self.speech(text, **request)
        )

    async def asks_at_once(self, count: int, within_seconds: float) -> list[tuple[int, float, str]]:
        """Request speech so often at once: of each the status, the seconds until its first audio, and the error."""
        return await self.caller.ask_at_once(self.host, self.key, self.speech(SENTENCE), count, within_seconds)

    @asynccontextmanager
    async def keeps_calling(self, requests_per_second: float, keys: Sequence[str] = ()) -> AsyncIterator[Calls]:
        """Call until the block ends, with its own key or with these in turn; the calls begin after a first answer."""
        speech = self.speech(SENTENCE)
        async with self.caller.keep_calling(self.host, keys or (self.key,), speech, requests_per_second) as calls:
            yield calls

    def speech(self, text: str, **request: Any) -> dict[str, Any]:
        return {"model": self.model, "voice": "en-us", "input": text, "response_format": "wav", **request}

    async def _until(self, holds: Any, within_seconds: float) -> float:
        return await self.kube.until(
            self.namespace, f"ttstenant/{self.name}", holds=holds, within_seconds=within_seconds
        )


@dataclass
class Platform:
    """Platform team, and everything that one story makes; `cleans_up` deletes it."""

    kube: Kube
    system_namespace: str
    server_image: str
    story: str
    """Part of every name, so that stories do not affect each other."""
    namespaces: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)

    async def publishes_model(self, name: str = "espeak", **spec: Any) -> str:
        """Apply the TTSModel of examples/ with some fields of its spec changed, or without those that are None.

        Returns its name in this story.
        """
        body = copy.deepcopy(MODEL)
        body["metadata"] = {"name": f"{name}-{self.story}"}
        body["spec"] = {key: value for key, value in (body["spec"] | spec).items() if value is not None}
        await self.kube.apply(body)
        self.models.append(body["metadata"]["name"])
        return str(body["metadata"]["name"])

    async def changes_model(self, name: str, **spec: Any) -> None:
        await self.kube.patch("", f"ttsmodel/{name}", {"spec": spec})

    async def makes_namespace(self, name: str) -> str:
        """Make a namespace under restricted pod security. Returns its name in this story."""
        namespace = f"{name}-{self.story}"
        self.namespaces.append(namespace)
        await self.kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
            }
        )
        return namespace

    async def onboards_team(
        self,
        name: str,
        model: str,
        *,
        resource_quota: dict[str, str] | None = None,
        more_keys: int = 0,
        **spec: Any,
    ) -> Team:
        """Make a namespace under restricted pod security with a caller, keys, and a TTSTenant."""
        namespace = await self.makes_namespace(name)
        caller = Caller(self.kube, namespace, self.server_image)
        await caller.start()
        if resource_quota:
            await self.kube.apply(
                {
                    "apiVersion": "v1",
                    "kind": "ResourceQuota",
                    "metadata": {"name": "small", "namespace": namespace},
                    "spec": {"hard": resource_quota},
                }
            )
        keys = tuple(secrets.token_urlsafe(24) for _ in range(more_keys))
        team = Team(self.kube, name, namespace, model, caller, more_keys=keys)
        await team.applies(spec)
        return team

    async def leader(self) -> str:
        """Name of the operator's pod that holds the Lease."""
        return leader_of(await self.kube.get(self.system_namespace, "lease/ttsfleet"))

    async def cleans_up(self) -> None:
        """Delete everything without waiting: the next story uses other names."""
        for kind, names in (("namespace", self.namespaces), ("ttsmodel", self.models)):
            if names:
                await self.kube.kubectl("delete", kind, *names, "--wait=false", "--ignore-not-found")


def leader_of(lease: dict[str, Any]) -> str:
    """Name of the pod that holds the Lease; empty if none does."""
    return str(lease["spec"].get("holderIdentity") or "").rpartition("_")[0]


def condition(body: dict[str, Any], type_: str) -> dict[str, Any] | None:
    """Condition of that type, if it is reported."""
    conditions = body.get("status", {}).get("conditions", [])
    return next((found for found in conditions if found["type"] == type_), None)


def ready(pod: dict[str, Any]) -> bool:
    """Whether a pod is ready and is not being deleted."""
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True" and "deletionTimestamp" not in pod["metadata"]


def restarts(pod: dict[str, Any]) -> int:
    return sum(each["restartCount"] for each in pod["status"].get("containerStatuses", []))
