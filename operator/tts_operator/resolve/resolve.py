"""What a tenant asks for, made definite: models found, precisions chosen, the bounds of now, the limits that hold.

Never raises: what cannot be resolved becomes a verdict that the status tells.
"""

from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from tts_operator.api import AuthMode, TTSTenant
from tts_operator.api.support import unsupported_in_tenant
from tts_operator.calendar import calendar as schedule
from tts_operator.credentials.signing_keys import turn as turn_of_keys
from tts_operator.objects.names import pool_name
from tts_operator.objects.problem import Problem
from tts_operator.resolve.autoscaling import cpu_utilization
from tts_operator.resolve.fallback import chains
from tts_operator.resolve.missing_metrics import MissingMetrics, hold
from tts_operator.resolve.model_checks import fallback_problem, model_problem, not_supported
from tts_operator.resolve.pools import fallback_pools, own_bounds, pool, retiring, with_roles
from tts_operator.resolve.requeue import requeue
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.resolve.tier_limits import ceilings, requests_per_minute
from tts_operator.resolve.voice_checks import fallback_voice_problems, voice_problems
from tts_operator.rollout.cutover import cutover
from tts_operator.rollout.draining import draining
from tts_operator.settings import Settings
from tts_operator.snapshot.observed import Observed


def resolve(observed: Observed, settings: Settings, now: datetime) -> Resolved:
    """Everything definite, or the reason why not."""
    tenant = observed.tenant
    bare = Resolved(observed, settings, now)
    if tenant is None or observed.deleting:
        return replace(bare, refused=Problem("Invalid", observed.tenant_error or "the tenant is being deleted"))
    if later := list(unsupported_in_tenant(tenant.spec)):
        return replace(bare, refused=Problem("NotSupportedYet", not_supported(later)))
    if stranger := disallowed_issuer(tenant, settings):
        return replace(bare, refused=stranger)
    try:
        window = schedule.state_at(tenant.spec.schedule, now)
        change = schedule.next_change(tenant.spec.schedule, now)
    except schedule.UnknownTimeZone as error:
        return replace(bare, refused=Problem("UnknownTimeZone", f"spec.schedule.timeZone: {error}"))
    pinned = hold(observed, pool_name(observed.key.name, tenant.spec.models[0].name), window.bounds, now)
    pools, problems = requested_pools(observed, tenant, pinned, now)
    turn = cutover(observed, pools[0].name, pinned.bounds.min_replicas, now, suspended=tenant.spec.suspend)
    given = with_roles(observed, pools, turn)
    left = draining(observed, {each.name for each in given}, now)
    signing = turn_of_keys(observed.signing, now) if observed.signing.keys else None
    limit, notes = requests_per_minute(tenant, settings)
    hidden = [Problem("WindowNeverOpens", sentence) for sentence in schedule.never_open(tenant.spec.schedule)]
    quota, auth = tenant.spec.quota, tenant.spec.auth
    whole = replace(
        bare,
        notes=(*notes, *ceilings(observed.namespace_labels), *hidden),
        models=problems,
        window=window,
        next_transition=change,
        pools=(*given, *(retiring(observed, name) for name in left.pools)),
        entry=turn.entry,
        auth_modes=auth.modes if auth else (AuthMode.API_KEY,),
        keys_secret=observed.keys_secret,
        signing=signing.keys if signing else None,
        cpu_utilization=cpu_utilization(tenant),
        requests_per_minute=limit,
        max_text_characters=(quota and quota.max_text_characters) or settings.max_text_characters,
    )
    moments = [
        change and change.at,
        turn.requeue_at,
        left.requeue_at,
        pinned.requeue_at,
        signing and signing.requeue_at,
        *(each.rollout.requeue_at for each in pools),
        *requeue(whole),
    ]
    return replace(whole, next_change=min((moment for moment in moments if moment), default=None))


def disallowed_issuer(tenant: TTSTenant, settings: Settings) -> Problem | None:
    """Pods ask for an issuer's keys from inside the cluster: the platform may say where."""
    external = tenant.spec.auth.external if tenant.spec.auth else None
    if external is None or not settings.issuer_hosts:
        return None
    host = urlsplit(external.jwks_url).hostname
    if host in settings.issuer_hosts:
        return None
    allowed = ", ".join(settings.issuer_hosts)
    return Problem("IssuerNotAllowed", f"spec.auth.external.jwksURL: {host} is none of the allowed hosts: {allowed}")


def requested_pools(
    observed: Observed, tenant: TTSTenant, pinned: MissingMetrics, now: datetime
) -> tuple[list[Pool], tuple[Problem, ...]]:
    """The pools of the spec's models, before their roles are known, and of those that stand by for them.

    Also what is wrong with models, and with voices that lead nowhere.
    """
    problems = {entry.name: model_problem(observed, entry.name) for entry in tenant.spec.models}
    found = chains(problems, observed.models, lambda by, name: fallback_problem(observed, by, name))
    bounds = [pinned.bounds, *(own_bounds(entry) for entry in tenant.spec.models[1:])]
    pools = [
        pool(observed, tenant, entry, each, usable=problems[entry.name] is None, now=now)
        for entry, each in zip(tenant.spec.models, bounds, strict=True)
    ]
    pools[0] = replace(pools[0], pinned=pinned.pinned)
    voices = voice_problems(tenant, pools)
    pools += fallback_pools(observed, tenant, found, now)
    pools = [replace(each, fallback=found.links.get(each.model_name)) for each in pools]
    unusable = (problem for problem in problems.values() if problem)
    return pools, (*unusable, *found.problems, *voices, *fallback_voice_problems(pools))
