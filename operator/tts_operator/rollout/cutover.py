"""Moves the tenant's Service from one entry pool to another.

While the pods of the default model find no room, such as no free GPU, the pool of its fallback is the entry.

spec.models[0] changes: the new pool becomes an entry pool, too
 -> it is ready, and its pods have read their new configuration: the Service selects it
 -> no request reaches the old pool any more: it is deleted, or a member again
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tts_operator.objects import fields
from tts_operator.objects.kinds import CONFIG_MAP, DEPLOYMENT, SERVICE
from tts_operator.objects.manifest import Body
from tts_operator.objects.names import server_config_name
from tts_operator.rollout.update_strategy import replacing, surge_denied
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed
from tts_operator.snapshot.pod_failures import failures_of_pod
from tts_operator.snapshot.unschedulable import NO_ROOM
from tts_server.config.schema import CONFIG_FILE

PROPAGATION_DELAY = timedelta(seconds=5)
"""Time until every running pod has read a changed configuration, and every node a changed Service."""


@dataclass(frozen=True)
class Cutover:
    """Which pool the Service selects while a new entry pool takes over."""

    entry: str
    draining_pools: bool = False
    """Requests may still reach a pool that was the entry before."""
    requeue_at: datetime | None = None
    """End of the propagation delay, where nothing else is missing."""
    following: str = ""
    """Pool that takes over: it has to read first that it is an entry."""


def cutover(observed: Observed, wanted: str, minimum: int, now: datetime, *, suspended: bool) -> Cutover:
    """Pool that the tenant's Service selects: the wanted one once it is ready, until then the present one."""
    present = lookup.selected_pool(observed)
    if present == wanted:
        return moved(observed, wanted, now)
    if suspended or present == "" or not available(observed, present, 1):
        return Cutover(wanted)
    written_at = config_written_at(observed, wanted)
    if written_at is None or not available(observed, wanted, max(minimum, 1)):
        return Cutover(present, draining_pools=True, following=wanted)
    if now < written_at + PROPAGATION_DELAY:
        return Cutover(present, draining_pools=True, requeue_at=written_at + PROPAGATION_DELAY, following=wanted)
    return Cutover(wanted, draining_pools=True, requeue_at=now + PROPAGATION_DELAY)


def entry_pool(observed: Observed, default: str, fallbacks: Iterable[str], *, needs_cover: bool) -> str:
    """Pool that is to be the entry: the default model's, or a fallback's while it finds no room for any pod.

    `fallbacks` are the pools of its fallback chain; `needs_cover`: its only pod is about to be replaced. Every other
    reason for which it has no pod ends by itself, or concerns its model: then it stays the entry.
    """
    live = lookup.deployment(observed, default)
    if live is None:
        return default
    without_pods = not available(observed, default, 1)
    replaced = without_pods and replacing(live) and fields.rolling(live)
    if needs_cover or replaced or (without_pods and waits_for_room(observed, default, live)):
        return next((pool for pool in fallbacks if available(observed, pool, 1)), default)
    return default


def covered(observed: Observed, pool: str, fallbacks: Iterable[str], now: datetime) -> bool:
    """Whether no request needs this pool: it is not the entry, and the entry has a fallback for its model."""
    if lookup.selected_pool(observed) in {"", pool} or not any(available(observed, each, 1) for each in fallbacks):
        return False
    service = lookup.child(observed, SERVICE, observed.key.name)
    since = fields.applied_at(service) if service else None
    return since is None or now >= since + PROPAGATION_DELAY


def waits_for_room(observed: Observed, pool: str, live: Body) -> bool:
    """Whether no node, or no quota, has room for any pod of the pool."""
    pods = lookup.pods_of(observed, pool)
    if not pods:
        return surge_denied(live)
    return any(each.reason in NO_ROOM for pod in pods for each in failures_of_pod(pod))


def moved(observed: Observed, wanted: str, now: datetime) -> Cutover:
    """The Service selects the wanted pool; nodes route to it after the propagation delay."""
    service = lookup.child(observed, SERVICE, observed.key.name)
    since = fields.applied_at(service) if service else None
    pools = {ref.name for ref in observed.children if ref.kind == DEPLOYMENT.name} - {wanted}
    if since is None or now >= since + PROPAGATION_DELAY or not any(is_entry(observed, pool) for pool in pools):
        return Cutover(wanted)
    return Cutover(wanted, draining_pools=True, requeue_at=since + PROPAGATION_DELAY)


def available(observed: Observed, pool: str, replicas: int) -> bool:
    """Whether a pool has at least so many available replicas."""
    live = lookup.deployment(observed, pool)
    return live is not None and fields.count(live, "availableReplicas") >= replicas


def config_written_at(observed: Observed, pool: str) -> datetime | None:
    """When the pool's configuration was last applied, if it makes the pool an entry; None if it does not."""
    config = server_config(observed, pool)
    if config is None or not is_entry(observed, pool):
        return None
    return fields.applied_at(config) or datetime.min.replace(tzinfo=UTC)


def is_entry(observed: Observed, pool: str) -> bool:
    """Whether the pool's deployed configuration accepts client traffic."""
    return parsed_config(server_config(observed, pool)).get("role") == "Entry"


def parsed_config(config: Body | None) -> dict[str, Any]:
    """Content of a live server.json; empty where it is missing or no JSON object."""
    try:
        parsed = json.loads(((config or {}).get("data") or {}).get(CONFIG_FILE, "{}"))
    except (ValueError, RecursionError):  # whoever may edit the ConfigMap may write anything
        return {}
    return parsed if isinstance(parsed, dict) else {}


def server_config(observed: Observed, pool: str) -> Body | None:
    """Live ConfigMap with a pool's server.json."""
    model = lookup.model_of(observed, pool)
    return lookup.child(observed, CONFIG_MAP, server_config_name(observed.key.name, model)) if model else None
