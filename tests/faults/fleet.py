"""Thirty tenants that people edit at random, and whether the operator has made of them what a fresh create becomes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.support.api_server import NUMBERS, KubernetesUser, picture
from tests.support.resources import model_body, tenant_body
from tts_operator.cluster.client import Cluster, collect
from tts_operator.cluster.errors import ClusterError, NotFound
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CHILDREN, MODEL, TENANT
from tts_operator.objects.labels import MANAGED, TENANT_LABEL, joined, selector
from tts_operator.objects.manifest import Body, Ref, ref_of

TENANTS = 30
TENANTS_BEFORE = 15
EDITS = 45
TEAMS = 3
PACE_SECONDS = 0.3
"""Longest time between two edits."""
AGAIN_SECONDS = 0.5
INSIST_SECONDS = 120.0
EXPECTED = ("Accepted", "ModelsResolved", "Programmed", "Ready")
"""Conditions that are True of every tenant in the end, of a suspended one too."""
EXPECTED_OF_MODELS = ("Accepted", "FallbackResolved", "RolledOut", "Ready")
KEYS = "team-keys"
AUTH: dict[str, Any] = {"apiKeysSecretRef": {"name": KEYS}}
HASH = hashlib.sha256(b"a key").hexdigest()
ALWAYS_THERE = [kind for kind in CHILDREN if kind.add_on is None]
Spec = dict[str, Any]


def shapes(first: str, second: str) -> list[Spec]:
    """Specs that people choose from: they differ in the kinds and numbers of children."""
    night = {"name": "night", "start": "02:30", "end": "03:30", "minReplicas": 1, "maxReplicas": 1}
    few = {"default": {"minReplicas": 1, "maxReplicas": 2}}
    by_clock = {"timeZone": "Europe/Berlin", "default": {"minReplicas": 2, "maxReplicas": 3}, "windows": [night]}
    return [
        {"models": [first], "schedule": few, "auth": {"modes": ["None"]}},
        {"models": [first, second], "schedule": few, "tier": "VIP", "voiceAliases": {"alloy": "en-us"}, "auth": AUTH},
        {"models": [second], "schedule": by_clock, "auth": AUTH},
        {"models": [second], "schedule": few, "quota": {"requestsPerMinute": 7}, "auth": {**AUTH, "modes": ["JWT"]}},
        {"models": [first], "schedule": by_clock, "tier": "Enterprise", "auth": {"modes": ["None"]}},
    ]


@dataclass
class Fleet:
    """The tenants as people want them, in namespaces of their own, edited past every fault."""

    cluster: Cluster
    user: KubernetesUser
    namespaces: tuple[str, ...]
    models: tuple[str, str]
    chance: random.Random
    wanted: dict[Key, Spec] = field(default_factory=dict)
    removed: set[Key] = field(default_factory=set)
    """Tenants that were deleted, and not created again."""
    touched: set[Ref] = field(default_factory=set)
    """Children that others have changed: once each, for who does it again and again is reported, not repaired."""

    async def populate(self) -> None:
        """The tenants of before any fault."""
        for number in range(TENANTS_BEFORE):
            await self.write(self._key(number), self._any_spec())

    async def edit(self) -> None:
        """So many random edits, at a random pace."""
        for _ in range(EDITS):
            await asyncio.sleep(self.chance.uniform(0, PACE_SECONDS))
            await self._edit_once()
        for number in range(TENANTS):  # those that nobody happened to create
            if (key := self._key(number)) not in self.wanted and key not in self.removed:
                await self.write(key, self._any_spec())

    async def write(self, key: Key, spec: Spec) -> None:
        """Create or replace a tenant."""
        body = tenant_body(
            *spec["models"], key=key, **{name: value for name, value in spec.items() if name != "models"}
        )
        await insist(lambda: self.user.put(body))
        self.wanted[key] = spec
        self.removed.discard(key)

    async def nudge(self) -> None:
        """An annotation for each tenant, which changes nothing of its children: the operator reconciles them all."""
        change = {"metadata": {"annotations": {"example.org/turn": str(next(NUMBERS))}}}
        for key in self.wanted:
            await insist(partial(self.user.patch, tenant_ref(key), change))

    async def remove_all(self) -> None:
        for key in list(self.wanted):
            await self._remove(key)

    async def tenants(self) -> dict[Key, Body]:
        found = [await collect(self.cluster.list(TENANT, namespace)) for namespace in self.namespaces]
        return {Key(body["metadata"]["namespace"], body["metadata"]["name"]): body for each in found for body in each}

    async def unready(self) -> list[str]:
        """Tenants whose conditions are not True yet."""
        bodies = await self.tenants()
        missing = [f"{key} is missing" for key in self.wanted.keys() - bodies.keys()]
        return missing + [problem for key, body in sorted(bodies.items()) for problem in untrue(key, body)]

    async def miscounted(self) -> list[str]:
        """Models whose status does not say how many tenants use them, or that all of these have their last change."""
        found = []
        for name in self.models:
            used_by = sum(name in spec["models"] for spec in self.wanted.values())
            body = await self.cluster.get(Ref.of(MODEL, "", name))
            assert body is not None, f"no model {name}"
            status = body.get("status") or {}
            found += [
                f"model {name}: {count} is {status.get(count)}, and {used_by} tenants use it"
                for count in ("tenants", "updatedTenants")
                if status.get(count) != used_by
            ]
            found += untrue(name, body, EXPECTED_OF_MODELS)
        return found

    async def children(self) -> dict[Key, dict[Ref, Body]]:
        """All children in these namespaces, by the tenant that their label names."""
        found: defaultdict[Key, dict[Ref, Body]] = defaultdict(dict)
        for kind in ALWAYS_THERE:
            async for body in self.cluster.list(kind, "", joined(MANAGED, kind.labels)):
                metadata = body["metadata"]
                if metadata["namespace"] in self.namespaces:
                    found[Key(metadata["namespace"], metadata["labels"].get(TENANT_LABEL, ""))][ref_of(body)] = body
        return found

    async def _edit_once(self) -> None:
        key = self._key(self.chance.randrange(TENANTS))
        what = self.chance.choice(("spec", "spec", "suspend", "delete", "edit child", "delete child", "delete child"))
        if key not in self.wanted or what == "spec":
            await self.write(key, self._any_spec())
        elif what == "suspend":
            await self.write(key, {**self.wanted[key], "suspend": not self.wanted[key].get("suspend", False)})
        elif what == "delete":
            await self._remove(key)
        else:
            await self._touch_child(key, delete=what == "delete child")

    async def _remove(self, key: Key) -> None:
        await insist(lambda: self.user.delete(tenant_ref(key)))
        del self.wanted[key]
        self.removed.add(key)

    async def _touch_child(self, key: Key, *, delete: bool) -> None:
        kind = self.chance.choice([kind for kind in ALWAYS_THERE if kind.name != "Secret"])
        labels = selector(key.name, kind.labels)
        listed = await insist(lambda: collect(self.cluster.list(kind, key.namespace, labels)))
        refs = sorted(set(map(ref_of, listed or ())) - self.touched)
        if not refs:
            return
        self.touched.add(refs[0])
        change = {"metadata": {"labels": {"app.kubernetes.io/name": "edited"}}}
        await insist(lambda: self.user.delete(refs[0]) if delete else self.user.patch(refs[0], change))

    def _key(self, number: int) -> Key:
        return Key(self.namespaces[number % TEAMS], f"tenant-{number}")

    def _any_spec(self) -> Spec:
        return self.chance.choice(shapes(*self.models))


async def insist(write: Callable[[], Awaitable[Any]]) -> Any:
    """Repeat a write of a person until it is done. What is gone meanwhile is left alone.

    An API server without its storage answers with 500, which is a refusal to whoever does not know why.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + INSIST_SECONDS
    while True:
        try:
            return await write()
        except NotFound:
            return None
        except ClusterError:
            if loop.time() > deadline:
                raise
            await asyncio.sleep(AGAIN_SECONDS)


def tenant_ref(key: Key) -> Ref:
    return Ref.of(TENANT, key.namespace, key.name)


@asynccontextmanager
async def fleet(seed: int) -> AsyncIterator[Fleet]:
    """Namespaces and models for a fleet; its tenants are removed by the test."""
    async with await Cluster.connect(lambda: True) as cluster:
        user = KubernetesUser(cluster)
        number = next(NUMBERS)
        namespaces = tuple(f"team-{number}-{team}" for team in range(TEAMS))
        models = (f"first-{number}", f"second-{number}")
        for namespace in namespaces:
            await user.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
            keys = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEYS, "namespace": namespace}}
            await user.create({**keys, "stringData": {"app": HASH}})
        for model in models:
            await user.create(model_body(model))
        yield Fleet(cluster, user, namespaces, models, random.Random(f"{seed} of the people"))


@dataclass
class Comparison:
    """The fleet beside tenants that are created fresh, one for each spec that occurs."""

    fleet: Fleet
    fresh: dict[str, Key] = field(default_factory=dict)

    async def create(self) -> None:
        for number, text in enumerate(
            sorted({json.dumps(spec, sort_keys=True) for spec in self.fleet.wanted.values()})
        ):
            key = Key(self.fleet.namespaces[0], f"fresh-{number}")
            self.fresh[text] = key
        for text, key in self.fresh.items():
            await self.fleet.write(key, json.loads(text))

    async def differences(self) -> list[str]:
        """Everything that is not as it should be, a line each. Children are read once all statuses are true."""
        try:
            bodies = await self.fleet.tenants()
            if found := await self._untrue(bodies):
                return found
            children = await self.fleet.children()
        except ClusterError as error:
            return [f"the API server does not answer: {error}"]
        orphans = children.keys() - bodies.keys()
        if orphans:
            return [f"orphans of {key}: {sorted(map(str, children[key]))}" for key in sorted(orphans)]
        return [line for key in sorted(self.fleet.wanted) if (line := self._difference(key, children))]

    async def _untrue(self, bodies: Mapping[Key, Body]) -> list[str]:
        """Tenants that should be gone or are missing, and statuses that are not true."""
        wanted = self.fleet.wanted.keys()
        found = [f"{key} should be gone" for key in bodies.keys() - wanted]
        found += [f"{key} is missing" for key in wanted - bodies.keys()]
        found += [problem for key, body in sorted(bodies.items()) for problem in untrue(key, body)]
        return found or await self.fleet.miscounted()

    def _difference(self, key: Key, children: Mapping[Key, Mapping[Ref, Body]]) -> str:
        """The first difference between the children of a tenant and those of its twin; empty without one."""
        spec = self.fleet.wanted[key]
        twin = self.fresh[json.dumps(spec, sort_keys=True)]
        suspended = spec.get("suspend", False)
        own, its = (picture(each, children.get(each, {}), suspended=suspended) for each in (key, twin))
        return "" if own == its else f"{key} differs from {twin}: {first_difference(own, its)}"

    async def left(self) -> list[str]:
        """Tenants and children that still exist."""
        try:
            bodies, children = await self.fleet.tenants(), await self.fleet.children()
        except ClusterError as error:
            return [f"the API server does not answer: {error}"]
        return [*map(str, bodies), *(str(ref) for each in children.values() for ref in each)]


def untrue(key: Key | str, body: Body, types: Sequence[str] = EXPECTED) -> list[str]:
    """Conditions of these types that are not True yet, or not of the present generation."""
    conditions = {each["type"]: each for each in (body.get("status") or {}).get("conditions") or ()}
    generation = body["metadata"]["generation"]
    found = []
    for type_ in types:
        condition: Mapping[str, Any] = conditions.get(type_, {})
        if condition.get("status") != "True":
            found.append(
                f"{key} {type_}={condition.get('status')} {condition.get('reason')} {condition.get('message')}"
            )
        elif condition.get("observedGeneration") != generation:
            found.append(f"{key} {type_} is of generation {condition.get('observedGeneration')}, not {generation}")
    return found


def first_difference(own: str, its: str) -> str:
    pairs = zip(own.splitlines(), its.splitlines(), strict=False)
    one, other = next(((a, b) for a, b in pairs if a != b), (own[-80:], its[-80:]))
    return f"{one.strip()} instead of {other.strip()}"
