"""Which pools a tenant has: for each model of its spec, for each that stands by, and for what is still called."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from tts_operator.api import TenantModel, TTSTenant
from tts_operator.calendar.bounds import Bounds
from tts_operator.objects.names import pool_name
from tts_operator.resolve.fallback import FallbackChains
from tts_operator.resolve.precision import PrecisionChoice, choose
from tts_operator.resolve.resolved import Pool, Role
from tts_operator.rollout.cutover import Cutover, is_entry
from tts_operator.rollout.update_strategy import UpdateStrategy, rollout
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

ONE_REPLICA = Bounds(1, 1)


def pool(
    observed: Observed, tenant: TTSTenant, entry: TenantModel, bounds: Bounds, *, usable: bool, now: datetime
) -> Pool:
    """One pool, before its role is known."""
    name = pool_name(observed.key.name, entry.name)
    model = observed.models[entry.name] if usable else None
    choice: PrecisionChoice | None = None
    loaded: tuple[str, ...] = ()
    if model is not None:
        offered = [option.name.value for option in model.spec.precisions]
        scenario = tenant.spec.scenario.value if tenant.spec.scenario else None
        choice = choose(offered, entry.precision, scenario)
        asked = (choice.name, *(each.value for each in entry.allowed_precisions or ()))
        loaded = tuple(each for each in offered if each in asked)
    strategy = tenant.spec.rollout.strategy if tenant.spec.rollout else "Auto"
    return Pool(
        name=name,
        model_name=entry.name,
        role="Member",
        bounds=bounds,
        model=model,
        precision=choice,
        loaded=loaded,
        rollout=rollout(observed, name, strategy, now),
        running=lookup.deployment(observed, name) is not None,
    )


def fallback_pools(observed: Observed, tenant: TTSTenant, found: FallbackChains, now: datetime) -> list[Pool]:
    """Pools of models that only speak in place of others: one replica each, for what they rarely say.

    One that cannot be used any more goes on as it is, where it runs.
    """
    made = [
        pool(observed, tenant, TenantModel(name=name), ONE_REPLICA, usable=name in found.unlisted, now=now)
        for name in (*found.unlisted, *found.unusable)
    ]
    return [replace(each, role="Fallback", offered=False) for each in made if each.model is not None or each.running]


def own_bounds(entry: TenantModel) -> Bounds:
    """Of a model after the first: the schedule's bounds are the first one's."""
    least = 1 if entry.min_replicas is None else entry.min_replicas
    return Bounds(least, least if entry.max_replicas is None else entry.max_replicas)


def with_roles(observed: Observed, pools: Sequence[Pool], turn: Cutover) -> tuple[Pool, ...]:
    """An entry is the default model's pool, and during a turnover every pool where callers may still arrive."""

    def role(position: int, pool: Pool) -> Role:
        lingers = turn.draining_pools and is_entry(observed, pool.name)
        return "Entry" if position == 0 or pool.name == turn.entry or lingers else pool.role

    given = tuple(replace(pool, role=role(position, pool)) for position, pool in enumerate(pools))
    if any(pool.name == turn.entry for pool in given):
        return given
    return (*given, replace(retiring(observed, turn.entry), role="Entry"))


def retiring(observed: Observed, name: str) -> Pool:
    """A pool that the spec no longer asks for, and that somebody still needs."""
    return Pool(
        name=name,
        model_name=lookup.model_of(observed, name),
        role="Member",
        bounds=lookup.autoscaler_bounds(observed, name) or ONE_REPLICA,
        model=None,
        precision=None,
        loaded=(),
        rollout=UpdateStrategy("Surge"),
        running=True,
        retiring=True,
        offered=False,
    )
