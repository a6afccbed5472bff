"""Resolves a tenant's spec: its models, precisions, pools, current replica bounds and limits.

Never raises: what cannot be resolved becomes a problem that the status reports.
"""

from dataclasses import replace
from datetime import datetime

from tts_operator.api import AuthMode, TenantModel, TTSModel, TTSTenant
from tts_operator.api.support import not_supported, unsupported_in_tenant
from tts_operator.calendar import calendar as schedule
from tts_operator.calendar.pre_warm import pre_warm
from tts_operator.calendar.zero import ZERO, Awake, awake
from tts_operator.credentials.signing_keys import rotation
from tts_operator.objects import fields
from tts_operator.objects.names import pool_name
from tts_operator.objects.problem import Problem
from tts_operator.resolve.autoscaling import autoscaler_choice
from tts_operator.resolve.ceilings import (
    Ceilings,
    accelerators_problem,
    capped_change,
    capped_state,
    ceiling_notes,
    ceilings_of,
    pool_ceiling,
    running_pool_ceiling,
    tier_problem,
)
from tts_operator.resolve.external import external_fallback_problem, remote_host_problem
from tts_operator.resolve.fallback import fallback_chains
from tts_operator.resolve.hosts import disallowed_host
from tts_operator.resolve.missing_metrics import MissingMetrics, missing_metrics
from tts_operator.resolve.model_checks import fallback_problem, model_problem
from tts_operator.resolve.pools import (
    fallback_pools,
    member_bounds,
    model_pool,
    precision_notes,
    retiring_pool,
    with_roles,
)
from tts_operator.resolve.requeue import requeue_times
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.resolve.source_urls import urls_renewed_at
from tts_operator.resolve.tier_limits import tier_limits
from tts_operator.resolve.voice_checks import fallback_voice_problems, voice_problems
from tts_operator.rollout.cutover import cutover
from tts_operator.rollout.draining import draining
from tts_operator.settings import Settings
from tts_operator.snapshot.accepted import with_tier
from tts_operator.snapshot.observed import Observed


def resolve(observed: Observed, settings: Settings, now: datetime) -> Resolved:
    """Resolve the spec as of `now`; `refused` is set if it cannot be followed as a whole.

    With `observed.refusal` it is the last accepted one, which applies as far as the platform allows it now: its tier is
    lowered to the namespace's, and hosts that are no longer allowed are out of reach.
    """
    ceilings = ceilings_of(observed.namespace_labels, settings.ceilings)
    lowered_tier = tier_problem(observed.tenant, ceilings) if observed.refusal and observed.tenant else None
    if lowered_tier is not None:
        observed = with_tier(observed, ceilings.tier)
    tenant = observed.tenant
    unresolved = Resolved(observed, settings, now, refused=observed.refusal)
    if observed.deleting:
        return replace(unresolved, refused=Problem("Invalid", "the tenant is being deleted"))
    if tenant is None:
        return refuse(unresolved, Problem("Invalid", observed.tenant_error or "the stored object is not a TTSTenant"))
    if unsupported := list(unsupported_in_tenant(tenant.spec)):
        return refuse(unresolved, Problem("NotSupportedYet", not_supported(unsupported)))
    problem = disallowed_host(tenant, settings) or tier_problem(tenant, ceilings)
    if problem and not observed.refusal:
        return refuse(unresolved, problem)
    most = pool_ceiling(observed, tenant, tenant.spec.models[0], ceilings).replicas
    try:
        window = capped_state(schedule.state_at(tenant.spec.schedule, now), most)
        change = capped_change(schedule.next_change(tenant.spec.schedule, now), most)
    except schedule.UnknownTimeZone as error:
        return refuse(unresolved, Problem("UnknownTimeZone", f"spec.schedule.timeZone: {error}"))
    default_pool = pool_name(observed.key.name, tenant.spec.models[0].name)
    lead = pre_warm_seconds(tenant, observed.models[tenant.spec.models[0].name])
    scheduled = pre_warm(tenant.spec.schedule, now, lead, most)
    woken = awake(tenant.spec.schedule, Awake(window, change, scheduled), wake_requested_at(observed), now)
    window, change, warmed = woken.window, woken.change, woken.warmed
    at_zero = warmed.bounds.max_replicas == 0 and most > 0
    metrics = missing_metrics(observed, default_pool, warmed.bounds, now)
    pools, problems = requested_pools(observed, tenant, metrics, ceilings, now, settings=settings)
    if at_zero:
        pools = [replace(pool, bounds=ZERO) for pool in pools]
    stopped = tenant.spec.suspend or at_zero
    target = cutover(observed, default_pool, metrics.bounds.min_replicas, now, suspended=stopped)
    live_pools = with_roles(observed, pools, target)
    drained = draining(observed, {pool.name for pool in live_pools}, now)
    signing = rotation(observed.signing, now) if observed.signing.keys else None
    limits = tier_limits(tenant, settings)
    lowered = ceiling_notes(observed, tenant, schedule.states(tenant.spec.schedule), ceilings)
    hidden = [Problem("WindowNeverOpens", sentence) for sentence in schedule.never_open(tenant.spec.schedule)]
    auth = tenant.spec.auth
    resolved = replace(
        unresolved,
        notes=(
            *((lowered_tier,) if lowered_tier else ()),
            *limits.notes,
            *lowered,
            *hidden,
            *precision_notes(tenant, pools),
        ),
        model_problems=problems,
        window=window,
        next_transition=change,
        pre_warmed=warmed,
        at_zero=at_zero,
        awake_until=woken.ends_at,
        most_replicas=most,
        pools=tuple(
            replace(pool, bounds=pool.bounds.capped(running_pool_ceiling(observed, pool.name, ceilings).replicas))
            if pool.retiring
            else pool
            for pool in (*live_pools, *(retiring_pool(observed, name) for name in drained.pools))
        ),
        entry=target.entry,
        auth_modes=auth.modes if auth else (AuthMode.API_KEY,),
        keys_secret=observed.keys_secret,
        signing=signing.keys if signing else None,
        autoscaler=autoscaler_choice(tenant, observed, settings),
        requests_per_minute=limits.requests_per_minute,
        concurrent_requests=limits.concurrent_requests,
        max_text_characters=limits.max_text_characters,
    )
    times = [
        change and change.at,
        warmed.changes_at,
        target.requeue_at,
        drained.requeue_at,
        metrics.requeue_at,
        signing and signing.requeue_at,
        *(pool.rollout.requeue_at for pool in pools),
        *(urls_renewed_at(observed, pool, now) for pool in pools),
        *requeue_times(resolved),
    ]
    return replace(resolved, requeue_at=min((time for time in times if time), default=None))


def wake_requested_at(observed: Observed) -> datetime | None:
    """When the waker last asked for a replica; None if it never did."""
    return fields.instant((observed.status.get("wake") or {}).get("requestedAt"))


def pre_warm_seconds(tenant: TTSTenant, model: TTSModel | None) -> int:
    """Time before a window with a higher minimum at which the minimum is raised: the tenant's, else the model's."""
    schedule = tenant.spec.schedule
    if schedule is not None and schedule.pre_warm_seconds is not None:
        return schedule.pre_warm_seconds
    return model.spec.load_seconds if model else 0


def refuse(unresolved: Resolved, problem: Problem) -> Resolved:
    """A spec that cannot be followed, not even as the last accepted one: the children stay as they are."""
    return replace(unresolved, refused=unresolved.refused or problem)


def requested_pools(
    observed: Observed,
    tenant: TTSTenant,
    metrics: MissingMetrics,
    ceilings: Ceilings,
    now: datetime,
    *,
    settings: Settings,
) -> tuple[list[Pool], tuple[Problem, ...]]:
    """The pools of the spec's models and of their fallbacks, without their roles.

    Also the problems of models, then of voices.
    """
    models = tenant.spec.models

    def problem_of(model: TenantModel) -> Problem | None:
        published = observed.models.get(model.name)
        return (
            model_problem(observed, model.name)
            or (remote_host_problem(published, settings) if published else None)
            or accelerators_problem(observed, tenant, model, ceilings)
        )

    def problem_of_fallback(model: str, name: str) -> Problem | None:
        listed = next((each for each in models if each.name == name), None)
        published = observed.models.get(name)
        return fallback_problem(model, name, problem_of(listed or TenantModel(name=name))) or (
            external_fallback_problem(tenant, model, published) if published else None
        )

    def member_ceiling(model: TenantModel) -> int:
        return pool_ceiling(observed, tenant, model, ceilings).replicas

    problems = {model.name: problem_of(model) for model in models}
    chains = fallback_chains(problems, observed.models, problem_of_fallback)
    bounds = [metrics.bounds, *(member_bounds(model).capped(member_ceiling(model)) for model in models[1:])]
    pools = [
        model_pool(observed, tenant, model, model_bounds, usable=problems[model.name] is None, now=now)
        for model, model_bounds in zip(models, bounds, strict=True)
    ]
    pools[0] = replace(pools[0], pinned=metrics.pinned)
    voices = voice_problems(tenant, pools)
    pools += fallback_pools(observed, tenant, chains, now)
    pools = [replace(pool, fallback=chains.links.get(pool.model_name)) for pool in pools]
    unusable = (problem for problem in problems.values() if problem)
    return pools, (*unusable, *chains.problems, *voices, *fallback_voice_problems(pools))
