"""Keeps a pool that is no longer wanted until no entry pool routes to it.

The entry pool's configuration changes first. The old pool is deleted once the entry's pods have read it: before that
they would send requests to a pool that is gone.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from tts_operator.objects import fields
from tts_operator.objects.kinds import DEPLOYMENT
from tts_operator.objects.manifest import Body
from tts_operator.rollout.cutover import PROPAGATION_DELAY, available, is_entry, parsed_config, server_config
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed


@dataclass(frozen=True)
class Draining:
    """Pools that are kept for now, and when to check again."""

    pools: tuple[str, ...] = ()
    requeue_at: datetime | None = None


def draining(observed: Observed, wanted: Collection[str], now: datetime) -> Draining:
    """Pools that are not wanted, and that an entry pool may still route to."""
    pools = {
        ref.name for ref in observed.children if ref.kind == DEPLOYMENT.name and lookup.deployment(observed, ref.name)
    }
    unwanted = sorted(pools - set(wanted))
    entries = [name for name in wanted if is_entry(observed, name) and available(observed, name, 1)] if unwanted else []
    configs = [config for name in entries if (config := server_config(observed, name)) is not None]
    written_at = max((at for config in configs if (at := fields.applied_at(config)) is not None), default=None)
    if written_at is not None and now < written_at + PROPAGATION_DELAY:
        return Draining(tuple(unwanted), written_at + PROPAGATION_DELAY)
    kept = tuple(name for name in unwanted if any(routes_to(config, observed, name) for config in configs))
    return Draining(kept, now + PROPAGATION_DELAY) if kept else Draining()


def routes_to(config: Body, observed: Observed, pool: str) -> bool:
    """Whether an entry pool with this configuration still routes to this pool's model."""
    model = lookup.model_of(observed, pool)
    return any(
        isinstance(each, dict) and each.get("name") == model for each in parsed_config(config).get("models") or ()
    )
