"""`kubectl tts why TENANT`: everything that tells why a tenant is not ready, on one page."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tts_operator.cli.colours import paint_for
from tts_operator.cli.command import Answer
from tts_operator.cli.common_flags import add_tenant_flags
from tts_operator.cli.tables import Paint, table
from tts_operator.fleet.ages import age
from tts_operator.fleet.kubectl import Kubectl
from tts_operator.fleet.related import event_time, is_concerned, pod_reason
from tts_operator.fleet.tenant_view import Body, Shown, TenantView, bounds, plain
from tts_operator.objects.labels import TENANT_LABEL

CONDITIONS = ("CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE")
POOLS = ("MODEL", "ROLE", "PRECISION", "BOUNDS", "READY", "REASON")
PODS = ("POD", "PHASE", "READY", "RESTARTS", "NODE", "AGE", "REASON")
EVENTS = ("EVENT", "TYPE", "REASON", "OBJECT", "MESSAGE")
MOST_EVENTS = 10
NARROW = 100
"""Characters of an event's message that fit beside its other columns."""


@dataclass(frozen=True)
class Found:
    """Objects that tell about one tenant; None where the reader may not list them."""

    tenant: TenantView
    pods: Sequence[Body] | None
    events: Sequence[Body] | None


def add_flags(command: argparse.ArgumentParser) -> None:
    add_tenant_flags(command)


def run(options: argparse.Namespace) -> Answer:
    """The page, also for a tenant that no operator has seen."""
    kubectl = Kubectl.of(options)
    tenant = TenantView(kubectl.tenant(options.tenant, options.namespace))
    pods = kubectl.permitted_items("pods", f"--selector={TENANT_LABEL}={tenant.name}")
    events = kubectl.permitted_items("events")
    parts = page(Found(tenant, pods, events), datetime.now(UTC), paint_for())
    return Answer(["\n".join("".join(part) for part in parts)])


def page(found: Found, now: datetime, paint: Paint | None = None) -> Iterator[Iterable[str]]:
    """Parts of the page, each as lines."""
    tenant = found.tenant
    yield headline(tenant, now)
    if telling := tenant.telling:
        yield table([CONDITIONS, *(condition_cells(each, now) for each in telling)], paint)
    if tenant.pools:
        yield table([POOLS, *map(pool_cells, tenant.pools)], paint)
    if found.pods is None:
        yield ["You may not list the pods of this namespace.\n"]
    elif found.pods:
        yield table([PODS, *(pod_cells(pod, now) for pod in found.pods)], paint)
    if found.events is None:
        yield ["You may not list the events of this namespace.\n"]
    elif rows := event_rows(found, now):
        yield table([EVENTS, *rows], paint)


def headline(tenant: TenantView, now: datetime) -> Iterator[str]:
    """State of the tenant, and what its condition Ready says to do."""
    name = f"{tenant.namespace}/{tenant.name}"
    ready = tenant.ready
    if ready is None:
        yield f"{name}: no operator has looked at it yet\n"
        yield "Is the operator running, and does it watch this namespace? `helm list -A` shows its release.\n"
        return
    words = {"True": "ready", "False": "not ready"}.get(ready.status, "not looked at yet")
    yield f"{name}: {words} for {age(ready.since, now)}, {ready.reason}\n"
    if ready.message:
        yield f"{ready.message}\n"


def condition_cells(condition: Shown, now: datetime) -> tuple[str, ...]:
    """One line for a condition."""
    return condition.type, condition.status, age(condition.since, now), condition.reason, condition.message


def pool_cells(pool: Body) -> tuple[str, ...]:
    """One line for an entry of `status.pools`."""
    limits = bounds(pool.get("min"), pool.get("max"))
    served = f"{pool.get('ready', 0)}/{pool.get('desired', 0)}"
    texts = (pool.get("model"), pool.get("role"), pool.get("precision") or "-", limits, served, pool.get("reason"))
    return tuple(plain(text or "") for text in texts)


def pod_cells(pod: Body, now: datetime) -> tuple[str, ...]:
    """One line for a pod."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    main = status.get("containerStatuses") or ()
    return (
        metadata["name"],
        "Terminating" if "deletionTimestamp" in metadata else str(status.get("phase", "")),
        f"{sum(bool(each.get('ready')) for each in main)}/{len(pod['spec']['containers'])}",
        str(sum(int(each.get("restartCount") or 0) for each in containers)),
        str((pod.get("spec") or {}).get("nodeName") or "-"),
        age(str(metadata.get("creationTimestamp", "")), now),
        plain(pod_reason(status, containers)),
    )


def event_rows(found: Found, now: datetime) -> list[tuple[str, ...]]:
    """The latest events of the tenant, its pools and their pods, the newest last."""
    tenant = found.tenant
    concerned = [event for event in found.events or () if is_concerned(event, tenant, found.pods or ())]
    latest = sorted(concerned, key=event_time)[-MOST_EVENTS:]
    return [
        (
            age(event_time(event), now),
            str(event.get("type", "")),
            plain(event.get("reason") or ""),
            f"{event['involvedObject'].get('kind', '')}/{event['involvedObject'].get('name', '')}",
            shortened(plain(event.get("message") or "")),
        )
        for event in latest
    ]


def shortened(text: str) -> str:
    return text if len(text) <= NARROW else f"{text[: NARROW - 1]}…"
