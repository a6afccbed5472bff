"""One tenant with everything that tells about it, read when its page asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tts_operator.cluster.client import Cluster, Request, collect
from tts_operator.cluster.errors import ClusterError, Forbidden
from tts_operator.console.rows import pool_rows
from tts_operator.fleet.related import event_time, is_concerned, pod_reason
from tts_operator.fleet.tenant_view import NEGATIVE, TenantView, conditions_of, plain
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import POD, SECRET
from tts_operator.objects.labels import selector
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.names import keys_secret_name

MOST_EVENTS = 50
EVENTS_READ = 500
"""Most events of a namespace that are looked through."""


class Told(NamedTuple):
    """Objects, or why they cannot be read."""

    found: Sequence[Body]
    problem: str = ""


async def read_tenant(cluster: Cluster, key: Key, body: Body) -> dict[str, Any]:
    """Everything about a tenant for its page. What may not be read is a sentence."""
    pods, events, keys = await asyncio.gather(
        _read(f"pods of {key.namespace}", _pods(cluster, key)),
        _read(f"events of {key.namespace}", _events(cluster, key.namespace)),
        _read(f"the Secret {key.namespace}/{secret_name(body)}", _secret(cluster, key.namespace, secret_name(body))),
    )
    return tenant_json(body, pods, events, keys)


def tenant_json(body: Body, pods: Told, events: Told, keys: Told) -> dict[str, Any]:
    """The page as values. Of a Secret the names of its entries are all that leaves this function."""
    tenant = TenantView(body)
    latest = sorted((each for each in events.found if is_concerned(each, tenant, pods.found)), key=event_time)
    return {
        "conditions": [
            {**each._asdict(), "tells": (each.status == "True") == (each.type in NEGATIVE)}
            for each in conditions_of(tenant.status)
        ],
        "pools": pool_rows(tenant.pools),
        "pods": {"rows": [pod_row(each) for each in pods.found], "problem": pods.problem},
        "events": {"rows": [event_row(each) for each in reversed(latest[-MOST_EVENTS:])], "problem": events.problem},
        "keys": {
            "secret": secret_name(body),
            "names": sorted({plain(name) for each in keys.found for name in each.get("data") or ()}),
            "problem": keys.problem,
        },
        "url": plain(tenant.status.get("url") or ""),
        "precisionReason": plain(tenant.status.get("precisionReason") or ""),
        "generation": body["metadata"].get("generation"),
        "running": tenant.status.get("runningGeneration"),
        "aliases": aliases(body),
    }


def secret_name(body: Body) -> str:
    """Secret with the hashes of the tenant's API keys."""
    auth = (body.get("spec") or {}).get("auth") or {}
    named = (auth.get("apiKeysSecretRef") or {}).get("name")
    return plain(named or keys_secret_name(str(body["metadata"]["name"])))


def aliases(body: Body) -> dict[str, str]:
    """Voices by alias."""
    found = (body.get("spec") or {}).get("voiceAliases") or {}
    return {plain(name): plain(voice) for name, voice in found.items()} if isinstance(found, Mapping) else {}


def pod_row(pod: Body) -> dict[str, Any]:
    """One pod."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    main = status.get("containerStatuses") or ()
    containers = [*(status.get("initContainerStatuses") or ()), *main]
    return {
        "name": plain(metadata["name"]),
        "phase": "Terminating" if "deletionTimestamp" in metadata else plain(status.get("phase") or ""),
        "ready": sum(bool(each.get("ready")) for each in main),
        "containers": len(pod["spec"]["containers"]),
        "restarts": sum(int(each.get("restartCount") or 0) for each in containers),
        "node": plain((pod.get("spec") or {}).get("nodeName") or ""),
        "created": plain(metadata.get("creationTimestamp") or ""),
        "reason": plain(pod_reason(status, containers)),
    }


def event_row(event: Body) -> dict[str, Any]:
    """One event."""
    about = event["involvedObject"]
    return {
        "at": plain(event_time(event)),
        "type": plain(event.get("type") or ""),
        "reason": plain(event.get("reason") or ""),
        "object": plain(f"{about.get('kind', '')}/{about.get('name', '')}"),
        "message": plain(event.get("message") or ""),
        "count": int(event.get("count") or (event.get("series") or {}).get("count") or 1),
    }


async def _pods(cluster: Cluster, key: Key) -> list[Body]:
    return await collect(cluster.list(POD, key.namespace, selector(key.name)))


async def _events(cluster: Cluster, namespace: str) -> list[Body]:
    path = f"/api/v1/namespaces/{namespace}/events"
    found: list[Body] = (await cluster.send(Request("GET", path, {"limit": str(EVENTS_READ)})))["items"] or []
    return found


async def _secret(cluster: Cluster, namespace: str, name: str) -> list[Body]:
    found = await cluster.get(Ref.of(SECRET, namespace, name))
    return [] if found is None else [found]


async def _read(what: str, reading: Any) -> Told:
    try:
        return Told(await reading)
    except Forbidden as error:
        return Told((), f"You may not read {what}. {error.message}")
    except ClusterError as error:
        return Told((), f"{what} cannot be read now: {error}")
