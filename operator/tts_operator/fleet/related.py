"""Pods and events that tell about one tenant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tts_operator.fleet.tenant_view import Body, TenantView
from tts_operator.objects.kinds import TENANT


def pod_reason(status: Body, containers: Sequence[Mapping[str, Any]]) -> str:
    """Reason why a pod does not run: of a container that waits or ended, else of the pod itself."""
    for container in containers:
        state = container.get("state") or {}
        if waiting := (state.get("waiting") or {}).get("reason"):
            last = ((container.get("lastState") or {}).get("terminated") or {}).get("reason")
            return f"{waiting} after {last}" if last else str(waiting)
        ended = state.get("terminated") or {}
        if ended.get("exitCode"):
            return f"{ended.get('reason', 'Error')}, exit status {ended['exitCode']}"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    return str(status.get("reason") or "")


def is_concerned(event: Body, tenant: TenantView, pods: Iterable[Body]) -> bool:
    """Whether an event is about the tenant, one of its pods, or a child, whose name begins with that of a pool."""
    about = event["involvedObject"]
    name = str(about.get("name", ""))
    if about.get("kind") == TENANT.name:
        return name == tenant.name
    if about.get("kind") == "Pod":
        return any(pod["metadata"]["name"] == name for pod in pods)
    owners = {reference for pod in pods for reference in owner_names(pod)} | {tenant.name}
    return name in owners or any(name == f"{tenant.name}-{pool.get('model')}" for pool in tenant.pools)


def owner_names(pod: Body) -> Iterator[str]:
    """ReplicaSets of a pod and, by their names, the Deployments of these."""
    for reference in pod["metadata"].get("ownerReferences") or ():
        yield str(reference["name"])
        yield str(reference["name"]).rpartition("-")[0]


def event_time(event: Body) -> str:
    """Instant of an event's last occurrence; empty where it has none."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((str(time) for time in times if time), str(event["metadata"].get("creationTimestamp") or ""))
