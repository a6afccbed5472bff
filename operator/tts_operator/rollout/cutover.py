"""When the tenant's Service moves from one pool to another.

spec.models[0] changes: the new pool becomes an entry, too
 -> it is ready, and has had the time to read that it is an entry: the Service selects it
 -> nobody can arrive at the old pool any more: it goes, or is a member again
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tts_operator.objects import fields
from tts_operator.objects.manifest import Body
from tts_operator.objects.names import server_config_name
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed
from tts_server.config.schema import CONFIG_FILE

PROPAGATION_DELAY = timedelta(seconds=5)
"""After its configuration changed, until a running pod has surely read it: the kubelet takes up to a second."""


@dataclass(frozen=True)
class Cutover:
    """Where callers arrive now."""

    entry: str
    draining_pools: bool = False
    """Callers may still arrive at a pool that was the entry before."""
    requeue_at: datetime | None = None
    """When only time is missing."""


def cutover(observed: Observed, wanted: str, minimum: int, now: datetime, *, suspended: bool) -> Cutover:
    """The pool that the tenant's Service selects: the wanted one once it can answer, until then the present one."""
    present = lookup.selected_pool(observed)
    if present == wanted:
        return moved(observed, wanted, now)
    if suspended or present == "" or not answers(observed, present, 1):
        return Cutover(wanted)
    told = config_written_at(observed, wanted)
    if told is None or not answers(observed, wanted, max(minimum, 1)):
        return Cutover(present, draining_pools=True)
    if now < told + PROPAGATION_DELAY:
        return Cutover(present, draining_pools=True, requeue_at=told + PROPAGATION_DELAY)
    return Cutover(wanted, draining_pools=True, requeue_at=now + PROPAGATION_DELAY)


def moved(observed: Observed, wanted: str, now: datetime) -> Cutover:
    """The Service selects the wanted pool; every node has heard of it a moment later."""
    service = lookup.child(observed, "v1", "Service", observed.key.name)
    since = fields.applied_at(service) if service else None
    pools = {ref.name for ref in observed.children if ref.kind == "Deployment"} - {wanted}
    if since is None or now >= since + PROPAGATION_DELAY or not any(is_entry(observed, pool) for pool in pools):
        return Cutover(wanted)
    return Cutover(wanted, draining_pools=True, requeue_at=since + PROPAGATION_DELAY)


def answers(observed: Observed, pool: str, replicas: int) -> bool:
    """Whether callers reach so many pods of a pool."""
    found = lookup.deployment(observed, pool)
    return found is not None and fields.count(found, "availableReplicas") >= replicas


def config_written_at(observed: Observed, pool: str) -> datetime | None:
    """When the pool's configuration last changed, if it makes the pool an entry; None if it does not."""
    config = server_config(observed, pool)
    if config is None or not is_entry(observed, pool):
        return None
    return fields.applied_at(config) or datetime.min.replace(tzinfo=UTC)


def is_entry(observed: Observed, pool: str) -> bool:
    """Whether the pool's live configuration makes it an entry."""
    return written(server_config(observed, pool)).get("role") == "Entry"


def written(config: Body | None) -> dict[str, Any]:
    """What a live ConfigMap tells pods; nothing where somebody has made it unreadable."""
    try:
        found = json.loads(((config or {}).get("data") or {}).get(CONFIG_FILE, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def server_config(observed: Observed, pool: str) -> Body | None:
    """The live ConfigMap that a pool's pods read."""
    model = lookup.model_of(observed, pool)
    return lookup.child(observed, "v1", "ConfigMap", server_config_name(observed.key.name, model)) if model else None
