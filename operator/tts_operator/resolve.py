"""What a tenant asks for, made definite: models found, precisions chosen, the bounds of now, the limits that hold.

Never raises: what cannot be resolved becomes a verdict that the status tells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from tts_operator import live, schedule
from tts_operator.api import AuthMode, MetricType, TenantModel, TTSModel, TTSTenant
from tts_operator.api.support import unsupported_in_tenant
from tts_operator.api.tenant import S3Storage
from tts_operator.fallback import Chains, chains, missing_voices
from tts_operator.leaving import leaving
from tts_operator.live import Verdict
from tts_operator.metrics_hold import hold
from tts_operator.model_problems import fallback_problem, model_problem, not_supported
from tts_operator.names import keys_secret_name, pool_name
from tts_operator.observed import Key, Observed
from tts_operator.precision import Choice, choose
from tts_operator.rollout import Rollout, rollout
from tts_operator.rollout_budget import model_of
from tts_operator.schedule import Bounds, Change, State
from tts_operator.settings import Settings
from tts_operator.signing import SigningKeys
from tts_operator.signing import turn as turn_of_keys
from tts_operator.stores import SharedRedis, redis_of, s3_of
from tts_operator.turnover import Turnover, is_entry, turnover

CPU_UTILIZATION = 70
"""Percent of the requested CPU, where the tenant sets no metric."""
ONE_REPLICA = Bounds(1, 1)
REDIS_SECRET_LOOK = timedelta(seconds=20)
"""Between looks for one that is missing or wrong: nobody tells of Secrets."""
CEILINGS = ("ttsfleet.io/max-tier", "ttsfleet.io/max-replicas", "ttsfleet.io/max-accelerators")
"""Labels of a namespace that this version reads and does not enforce."""

Role = Literal["Entry", "Member", "Fallback"]


@dataclass(frozen=True)
class Pool:
    """One Deployment of the tenant, and what stands around it."""

    name: str
    """Of its Deployment and everything that has its name; also its selector's value."""
    model_name: str
    role: Role
    bounds: Bounds
    model: TTSModel | None
    """None where it cannot be used now: the pool keeps its last pod spec, everything else goes on converging."""
    precision: Choice | None
    """None without a model."""
    loaded: tuple[str, ...]
    """Precisions that a request may ask for, in the model's order."""
    rollout: Rollout
    running: bool
    """Its Deployment exists."""
    held: bool = False
    """Without metrics max is held at min."""
    retiring: bool = False
    """No longer asked for, but callers or the entry still come here: it stays exactly as it is."""
    offered: bool = True
    """The spec lists its model. Otherwise it only speaks where another model falls back to it."""
    waits: Verdict | None = None
    """Why it may not take a change of its pods yet that is not its tenant's own: until then it keeps the last ones."""
    of_another_operator: bool = False
    """It waits for a change of the operator: its pods run what may not know what is written in a file of today."""
    fallback: str | None = None
    """Name of the model that speaks when this one cannot; it has a pool, too."""

    @property
    def spoken(self) -> tuple[TTSModel, Choice]:
        """The model and how it computes. Raises ValueError where it cannot be used."""
        if self.model is None or self.precision is None:
            raise ValueError(f"{self.model_name} cannot be used now: ask for `model` before")
        return self.model, self.precision


@dataclass(frozen=True)
class Resolved:
    """Everything that the builders and the status need, and nothing that they must decide."""

    observed: Observed
    settings: Settings
    now: datetime
    refused: Verdict | None = None
    """Why the spec as a whole cannot be followed: nothing is built, the last good children stay."""
    notes: tuple[Verdict, ...] = ()
    """What holds otherwise than the spec says, while the rest converges."""
    models: tuple[Verdict, ...] = ()
    """What is wrong with models, in the order of the spec, then with voices."""
    window: State | None = None
    next_transition: Change | None = None
    next_change: datetime | None = None
    """When to look again even if nothing happens; None for never."""
    pools: tuple[Pool, ...] = ()
    """The default model's first, then the spec's others, then fallbacks that it does not list, retiring ones last."""
    entry: str = ""
    """Name of the pool that the tenant's Service selects."""
    auth_modes: tuple[AuthMode, ...] = (AuthMode.API_KEY,)
    keys_secret: str = ""
    """Name of the Secret with the hashes of API keys."""
    signing: SigningKeys | None = None
    """What the Secret with signing keys is to hold; None where no tokens are given."""
    cpu_utilization: int = CPU_UTILIZATION
    requests_per_minute: int = 0
    max_text_characters: int = 0

    @property
    def key(self) -> Key:
        """The tenant's name."""
        return self.observed.key

    @property
    def uid(self) -> str:
        """The tenant's UID."""
        return self.observed.uid

    @property
    def tenant(self) -> TTSTenant | None:
        """The tenant, where it can be read."""
        return self.observed.tenant

    @property
    def s3(self) -> S3Storage | None:
        """Where the tenant keeps audio; None: in files of the pod that made it."""
        return s3_of(self.tenant, self.uid, self.settings.s3) if self.tenant else None

    @property
    def redis(self) -> SharedRedis | None:
        """Where its replicas count together; None: each gives out its part of the limits."""
        return redis_of(self.tenant, self.uid, self.settings.redis, self.observed.stores) if self.tenant else None

    def waiting(self, verdicts: Mapping[str, Verdict], changes: Mapping[str, str]) -> "Resolved":
        """The same, where these pools wait for their turn to take these changes."""

        def waits(pool: Pool) -> Pool:
            of_another = pool.name in verdicts and model_of(changes[pool.name]) is None
            return replace(pool, waits=verdicts.get(pool.name), of_another_operator=of_another)

        return replace(self, pools=tuple(map(waits, self.pools)))

    @property
    def suspended(self) -> bool:
        """Whether every pool is to be at zero."""
        return self.tenant is not None and self.tenant.spec.suspend


def resolve(observed: Observed, settings: Settings, now: datetime) -> Resolved:
    """Everything definite, or the reason why not."""
    tenant = observed.tenant
    bare = Resolved(observed, settings, now)
    if tenant is None or observed.deleting:
        return replace(bare, refused=Verdict("Invalid", observed.tenant_error or "the tenant is being deleted"))
    if later := list(unsupported_in_tenant(tenant.spec)):
        return replace(bare, refused=Verdict("NotSupportedYet", not_supported(later)))
    try:
        window = schedule.state_at(tenant.spec.schedule, now)
        change = schedule.next_change(tenant.spec.schedule, now)
    except schedule.UnknownTimeZone as error:
        return replace(bare, refused=Verdict("UnknownTimeZone", f"spec.schedule.timeZone: {error}"))
    held = hold(observed, pool_name(observed.key.name, tenant.spec.models[0].name), window.bounds, now)
    problems = {entry.name: model_problem(observed, entry.name) for entry in tenant.spec.models}
    found = chains(problems, observed.models, lambda by, name: fallback_problem(observed, by, name))
    bounds = [held.bounds, *(own_bounds(entry) for entry in tenant.spec.models[1:])]
    pools = [
        pool(observed, tenant, entry, each, usable=problems[entry.name] is None, now=now)
        for entry, each in zip(tenant.spec.models, bounds, strict=True)
    ]
    pools[0] = replace(pools[0], held=held.held)
    voices = voice_problems(tenant, pools)
    pools += standbys(observed, tenant, found, now)
    pools = [replace(each, fallback=found.links.get(each.model_name)) for each in pools]
    turn = turnover(observed, pools[0].name, held.bounds.min_replicas, now, suspended=tenant.spec.suspend)
    given = with_roles(observed, pools, turn)
    left = leaving(observed, {each.name for each in given}, now)
    signing = turn_of_keys(observed.signing, now) if observed.signing.keys else None
    moments = [
        change and change.at,
        turn.look_again,
        left.look_again,
        held.look_again,
        *(each.rollout.look_again for each in pools),
    ]
    moments.append(signing.look_again if signing else None)
    moments.append(now + REDIS_SECRET_LOOK if bare.redis and bare.redis.problem else None)
    limit, notes = requests_per_minute(tenant, settings)
    quota, auth = tenant.spec.quota, tenant.spec.auth
    return replace(
        bare,
        notes=(*notes, *ceilings(observed.namespace_labels)),
        models=(
            *(problem for problem in problems.values() if problem),
            *found.problems,
            *voices,
            *fallback_voice_problems(pools),
        ),
        window=window,
        next_transition=change,
        next_change=min((moment for moment in moments if moment), default=None),
        pools=(*given, *(retiring(observed, name) for name in left.pools)),
        entry=turn.entry,
        auth_modes=auth.modes if auth else (AuthMode.API_KEY,),
        keys_secret=auth.api_keys_secret_ref.name
        if auth and auth.api_keys_secret_ref
        else keys_secret_name(observed.key.name),
        signing=signing.keys if signing else None,
        cpu_utilization=cpu_utilization(tenant),
        requests_per_minute=limit,
        max_text_characters=(quota and quota.max_text_characters) or settings.max_text_characters,
    )


def fallback_voice_problems(pools: Sequence[Pool]) -> list[Verdict]:
    """Voices by language that lead nowhere."""
    models = {each.model_name: each.model for each in pools}
    return [
        problem
        for each in pools
        if each.model is not None and each.fallback is not None and (standby := models[each.fallback]) is not None
        for problem in missing_voices(each.model, standby)
    ]


def standbys(observed: Observed, tenant: TTSTenant, found: Chains, now: datetime) -> list[Pool]:
    """Pools of models that only speak in place of others: one replica each, for what they rarely say.

    One that cannot be used any more goes on as it is, where it runs.
    """
    made = [
        pool(observed, tenant, TenantModel(name=name), ONE_REPLICA, usable=name in found.standbys, now=now)
        for name in (*found.standbys, *found.unusable)
    ]
    return [replace(each, role="Fallback", offered=False) for each in made if each.model is not None or each.running]


def voice_problems(tenant: TTSTenant, pools: Sequence[Pool]) -> list[Verdict]:
    """Aliases and routes that lead nowhere; nothing while a model is missing that may have the voice."""
    models = [each.model for each in pools if each.model is not None]
    if len(models) < len(pools):
        return []
    voices = {voice.name for model in models for voice in model.spec.voices}
    aliases, routes = tenant.spec.voice_aliases, tenant.spec.language_routing
    named = [
        *((f"spec.voiceAliases[{alias}]", voice) for alias, voice in aliases.items() if voice not in voices),
        *(
            (f"spec.languageRouting[{route.language}]", route.voice)
            for route in routes
            if route.voice not in voices and aliases.get(route.voice) not in voices
        ),
    ]
    return [
        Verdict("VoiceNotFound", f"{where} names {voice}, a voice that no model here has") for where, voice in named
    ]


def own_bounds(entry: TenantModel) -> Bounds:
    """Of a model after the first: the schedule's bounds are the first one's."""
    least = 1 if entry.min_replicas is None else entry.min_replicas
    return Bounds(least, least if entry.max_replicas is None else entry.max_replicas)


def pool(
    observed: Observed, tenant: TTSTenant, entry: TenantModel, bounds: Bounds, *, usable: bool, now: datetime
) -> Pool:
    """One pool, before its role is known."""
    name = pool_name(observed.key.name, entry.name)
    model = observed.models[entry.name] if usable else None
    choice: Choice | None = None
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
        running=live.deployment(observed, name) is not None,
    )


def with_roles(observed: Observed, pools: Sequence[Pool], turn: Turnover) -> tuple[Pool, ...]:
    """An entry is the default model's pool, and during a turnover every pool where callers may still arrive."""

    def role(position: int, pool: Pool) -> Role:
        lingers = turn.lingering and is_entry(observed, pool.name)
        return "Entry" if position == 0 or pool.name == turn.entry or lingers else pool.role

    given = tuple(replace(pool, role=role(position, pool)) for position, pool in enumerate(pools))
    if any(pool.name == turn.entry for pool in given):
        return given
    return (*given, replace(retiring(observed, turn.entry), role="Entry"))


def retiring(observed: Observed, name: str) -> Pool:
    """A pool that the spec no longer asks for, and that somebody still needs."""
    return Pool(
        name=name,
        model_name=live.model_of(observed, name),
        role="Member",
        bounds=live.autoscaler_bounds(observed, name) or ONE_REPLICA,
        model=None,
        precision=None,
        loaded=(),
        rollout=Rollout("Surge"),
        running=True,
        retiring=True,
        offered=False,
    )


def requests_per_minute(tenant: TTSTenant, settings: Settings) -> tuple[int, tuple[Verdict, ...]]:
    """The tier's number, or the tenant's where that is lower."""
    tier = settings.requests_per_minute[tenant.spec.tier.value]
    asked = tenant.spec.quota.requests_per_minute if tenant.spec.quota else None
    if asked is None or asked <= tier:
        return asked or tier, ()
    message = f"spec.quota.requestsPerMinute {asked} is above the {tier} of tier {tenant.spec.tier.value}: {tier} holds"
    return tier, (Verdict("QuotaClamped", message),)


def ceilings(labels: Mapping[str, str]) -> tuple[Verdict, ...]:
    """Labels that people may take for enforced."""
    found = [label for label in CEILINGS if label in labels]
    return (Verdict("CeilingsNotEnforced", f"{', '.join(found)} on the namespace: not enforced yet"),) if found else ()


def cpu_utilization(tenant: TTSTenant) -> int:
    """What the HPA aims at."""
    metrics = tenant.spec.autoscaling.metrics if tenant.spec.autoscaling else ()
    targets = (metric.average_utilization for metric in metrics if metric.type is MetricType.CPU)
    return next((target for target in targets if target is not None), CPU_UTILIZATION)
