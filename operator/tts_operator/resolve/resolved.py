"""What a tenant's spec comes to: everything that the builders and the status read, and nothing that they decide."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from tts_operator.api import AuthMode, TTSModel, TTSTenant
from tts_operator.api.tenant import S3Storage
from tts_operator.calendar.bounds import Bounds, Change, State
from tts_operator.credentials.shared_stores import SharedRedis, redis_of, s3_of
from tts_operator.credentials.signing_keys import SigningKeys
from tts_operator.objects.keys import Key
from tts_operator.objects.problem import Problem
from tts_operator.resolve.autoscaling import CPU_UTILIZATION
from tts_operator.resolve.precision import PrecisionChoice
from tts_operator.rollout.policy import model_of
from tts_operator.rollout.update_strategy import UpdateStrategy
from tts_operator.settings import Settings
from tts_operator.snapshot.observed import Observed

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
    precision: PrecisionChoice | None
    """None without a model."""
    loaded: tuple[str, ...]
    """Precisions that a request may ask for, in the model's order."""
    rollout: UpdateStrategy
    running: bool
    """Its Deployment exists."""
    pinned: bool = False
    """Without metrics max is held at min."""
    retiring: bool = False
    """No longer asked for, but callers or the entry still come here: it stays exactly as it is."""
    offered: bool = True
    """The spec lists its model. Otherwise it only speaks where another model falls back to it."""
    waits: Problem | None = None
    """Why it may not take a change of its pods yet that is not its tenant's own: until then it keeps the last ones."""
    of_another_operator: bool = False
    """It waits for a change of the operator: its pods run what may not know what is written in a file of today."""
    fallback: str | None = None
    """Name of the model that speaks when this one cannot; it has a pool, too."""

    @property
    def spoken(self) -> tuple[TTSModel, PrecisionChoice]:
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
    refused: Problem | None = None
    """Why the spec as a whole cannot be followed: nothing is built, the last good children stay."""
    notes: tuple[Problem, ...] = ()
    """What holds otherwise than the spec says, while the rest converges."""
    models: tuple[Problem, ...] = ()
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

    def waiting(self, problems: Mapping[str, Problem], changes: Mapping[str, str]) -> "Resolved":
        """The same, where these pools wait for their turn to take these changes."""

        def waits(pool: Pool) -> Pool:
            of_another = pool.name in problems and model_of(changes[pool.name]) is None
            return replace(pool, waits=problems.get(pool.name), of_another_operator=of_another)

        return replace(self, pools=tuple(map(waits, self.pools)))

    @property
    def lacks_keys(self) -> bool:
        """Whether its pods turn every caller away, because there is no Secret with API keys."""
        if self.tenant is None or self.refused or self.observed.keys_secret_exists is not False:
            return False
        if self.auth_modes == (AuthMode.NONE,):
            return False
        auth = self.tenant.spec.auth
        # Where the issuer is external and keys are not asked for, callers bring tokens.
        return not (auth and auth.external and AuthMode.API_KEY not in self.auth_modes)

    @property
    def suspended(self) -> bool:
        """Whether every pool is to be at zero."""
        return self.tenant is not None and self.tenant.spec.suspend
