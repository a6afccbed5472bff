"""A resolved tenant: everything that the builders and the status read."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from tts_operator.api import AuthMode, TTSModel, TTSTenant
from tts_operator.api.tenant import S3Storage
from tts_operator.calendar.bounds import Bounds, Change, State
from tts_operator.calendar.pre_warm import PreWarmed
from tts_operator.credentials.shared_stores import SharedRedis, redis_of, s3_of
from tts_operator.credentials.signing_keys import SigningKeys
from tts_operator.objects.keys import Key
from tts_operator.objects.problem import Problem
from tts_operator.resolve.autoscaling import AutoscalerChoice
from tts_operator.resolve.exposure import Exposure
from tts_operator.resolve.hosts import with_allowed_host
from tts_operator.resolve.precision import PrecisionChoice
from tts_operator.rollout.policy import model_of
from tts_operator.rollout.update_strategy import UpdateStrategy
from tts_operator.settings import Settings
from tts_operator.snapshot.observed import Observed

Role = Literal["Entry", "Member", "Fallback"]


@dataclass(frozen=True)
class Pool:
    """One Deployment of the tenant, with the objects around it."""

    name: str
    """Name of its Deployment, Service, HPA, PDB and NetworkPolicy; also the value of its selector."""
    model_name: str
    role: Role
    bounds: Bounds
    model: TTSModel | None
    """The TTSModel; None if it cannot be used now: the pool keeps its last pod spec, other objects still converge."""
    precision: PrecisionChoice | None
    """Effective precision; None without a model."""
    loaded: tuple[str, ...]
    """Precisions that requests may select, in the model's order."""
    rollout: UpdateStrategy
    deployed: bool
    """Whether its Deployment exists."""
    pinned: bool = False
    """Whether `maxReplicas` is pinned to `minReplicas`, because metrics are unavailable."""
    retiring: bool = False
    """Whether the spec no longer asks for it while callers or the entry still send requests: it stays as it is."""
    offered: bool = True
    """Whether the spec lists its model. Otherwise it serves only as a fallback of other models."""
    throttled: Problem | None = None
    """Why it may not roll out a change of a model or of the operator yet: until then it keeps its last pods."""
    operator_change: bool = False
    """Whether it is throttled with a change of the operator: running servers may not support a new server.json."""
    fallback: str | None = None
    """Name of the model used when this one is unavailable; it has a pool, too."""

    @property
    def served(self) -> tuple[TTSModel, PrecisionChoice]:
        """The model and its effective precision. Raises ValueError if the model cannot be used."""
        if self.model is None or self.precision is None:
            raise ValueError(f"TTSModel {self.model_name} cannot be used now: check `model` first")
        return self.model, self.precision


@dataclass(frozen=True)
class Resolved:
    """A tenant as its spec, the cluster and the time determine it: builders and status decide nothing further."""

    observed: Observed
    settings: Settings
    now: datetime
    refused: Problem | None = None
    """Why the stored spec as a whole cannot be followed. With pools, the last accepted one is followed instead."""
    notes: tuple[Problem, ...] = ()
    """Fields of the spec that have no effect, or another than written; everything else converges."""
    model_problems: tuple[Problem, ...] = ()
    """Problems of models, in the order of the spec, then of fallbacks and voices."""
    window: State | None = None
    next_transition: Change | None = None
    pre_warmed: PreWarmed | None = None
    """Bounds of the default model's pool with pre-warming."""
    warms_at: datetime | None = None
    """When the next pre-warming of any pool begins, if that is before the next window opens."""
    pre_warm_seconds: int = 0
    """Time before a window with a higher minimum at which the minimum is raised."""
    at_zero: bool = False
    """Whether the schedule has no replicas now, and nobody has woken it."""
    awake_until: datetime | None = None
    """End of the wake that a request began; None without one."""
    most_replicas: int = 1000
    """Ceiling of the default model's pool, whatever the schedule says."""
    requeue_at: datetime | None = None
    """When to requeue the tenant even without an event; None for never."""
    pools: tuple[Pool, ...] = ()
    """The default model's pool, then the spec's others, then those of unlisted fallbacks, then retiring ones."""
    entry: str = ""
    """Name of the pool that the tenant's Service selects."""
    auth_modes: tuple[AuthMode, ...] = (AuthMode.API_KEY,)
    keys_secret: str = ""
    """Name of the Secret with the hashes of API keys."""
    exposure: Exposure | None = None
    """Route for callers outside the cluster; None unless the spec asks for one."""
    signing: SigningKeys | None = None
    """Desired content of the Secret with signing keys; None unless the tenant issues access tokens."""
    autoscaler: AutoscalerChoice = field(default_factory=AutoscalerChoice)
    """Autoscaler of the pools, with its metrics."""
    requests_per_minute: int = 0
    concurrent_requests: int | None = None
    max_text_characters: int = 0

    @property
    def key(self) -> Key:
        """Namespace and name of the tenant."""
        return self.observed.key

    @property
    def followed(self) -> bool:
        """Whether a spec is followed: the stored one or, while that is refused, the last accepted one."""
        return bool(self.pools)

    @property
    def uid(self) -> str:
        """The tenant's UID."""
        return self.observed.uid

    @property
    def tenant(self) -> TTSTenant | None:
        """The tenant with the spec that is followed; None if it does not parse."""
        return self.observed.tenant

    @property
    def s3(self) -> S3Storage | None:
        """The object store for audio; None if audio is in files of the pod that synthesized it."""
        return s3_of(self.tenant, self.uid, self.settings.s3) if self.tenant else None

    @property
    def redis(self) -> SharedRedis | None:
        """The Redis in which replicas share counters; None if each replica enforces its share of the limits."""
        if self.tenant is None:
            return None
        redis = redis_of(self.tenant, self.uid, self.settings.redis, self.observed.stores)
        return redis and with_allowed_host(redis, self.key.namespace, self.settings)

    def waiting(self, problems: Mapping[str, Problem], changes: Mapping[str, str]) -> "Resolved":
        """A copy in which these pools are throttled: `problems` and `changes` are by pool."""

        def throttled(pool: Pool) -> Pool:
            of_operator = pool.name in problems and model_of(changes[pool.name]) is None
            return replace(pool, throttled=problems.get(pool.name), operator_change=of_operator)

        return replace(self, pools=tuple(map(throttled, self.pools)))

    @property
    def lacks_keys(self) -> bool:
        """Whether its pods reject every request because the Secret with API keys does not exist."""
        return self.needs_keys and self.observed.keys_secret_exists is False

    @property
    def needs_keys(self) -> bool:
        """Whether its callers authenticate by API keys, or by tokens that they get for them."""
        if self.tenant is None or not self.followed:
            return False
        if self.auth_modes == (AuthMode.NONE,):
            return False
        auth = self.tenant.spec.auth
        # With an external issuer and without mode APIKey, callers authenticate by its tokens.
        return not (auth and auth.external and AuthMode.API_KEY not in self.auth_modes)

    @property
    def stopped(self) -> bool:
        """Whether no pool has replicas: by the schedule, or by a suspension."""
        return self.suspended or self.at_zero

    @property
    def has_waker(self) -> bool:
        """Whether the waker has a pod that can answer for the tenant."""
        return self.observed.waker is not None and bool(self.observed.waker.addresses)

    @property
    def suspended(self) -> bool:
        """Whether every pool is scaled to zero."""
        return self.tenant is not None and self.tenant.spec.suspend
