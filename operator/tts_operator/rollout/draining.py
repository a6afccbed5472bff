"""Pools that nothing asks for any more, and that the entry may still call.

The entry's configuration changes first. Only when its pods have surely read it does the pool go: until then an entry
would call, or fall back to, what is no longer there.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from tts_operator.objects import fields
from tts_operator.objects.manifest import Body
from tts_operator.rollout.cutover import PROPAGATION_DELAY, answers, is_entry, server_config, written
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed


@dataclass(frozen=True)
class Draining:
    """Pools that stay for a moment."""

    pools: tuple[str, ...] = ()
    requeue_at: datetime | None = None


def draining(observed: Observed, wanted: Collection[str], now: datetime) -> Draining:
    """Which of the pools that are not wanted an entry may still call, and when that is over."""
    pools = {
        ref.name for ref in observed.children if ref.kind == "Deployment" and lookup.deployment(observed, ref.name)
    }
    gone = sorted(pools - set(wanted))
    entries = [name for name in wanted if is_entry(observed, name) and answers(observed, name, 1)] if gone else []
    configs = [config for name in entries if (config := server_config(observed, name)) is not None]
    told = max((at for config in configs if (at := fields.applied_at(config)) is not None), default=None)
    if told is not None and now < told + PROPAGATION_DELAY:
        return Draining(tuple(gone), told + PROPAGATION_DELAY)
    kept = tuple(name for name in gone if any(calls(config, observed, name) for config in configs))
    return Draining(kept, now + PROPAGATION_DELAY) if kept else Draining()


def calls(config: Body, observed: Observed, pool: str) -> bool:
    """Whether this configuration names the pool's model."""
    model = lookup.model_of(observed, pool)
    return any(isinstance(each, dict) and each.get("name") == model for each in written(config).get("models") or ())
