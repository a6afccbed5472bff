"""Gives tenants without stores of their own access to the operator's: a Redis user, and a prefix in its bucket."""

from dataclasses import dataclass, field, replace
from typing import Self

from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import SECRET
from tts_operator.objects.manifest import Ref
from tts_operator.objects.ownership import controlled_by
from tts_operator.observe.credential_files import StoreFiles
from tts_operator.plan.outcome import Outcome
from tts_operator.redis_acl.users import RedisUsers
from tts_operator.resolve.resolved import Resolved
from tts_operator.settings import Settings
from tts_operator.snapshot.observed import Observed


@dataclass(frozen=True)
class StoreAccess:
    """The operator's stores. Without them tenants have only those that they bring."""

    files: StoreFiles
    users: RedisUsers | None = None
    _settled: set[Key] = field(default_factory=set)

    @classmethod
    def none(cls) -> Self:
        """Access of an operator without stores."""
        return cls(StoreFiles(Settings(server_image="")))

    def is_settled(self, key: Key) -> bool:
        """Whether the tenant can have no Secret that no Deployment mounts: a plan that ended early may leave one."""
        return key in self._settled

    def before_apply(self, key: Key) -> None:
        """Call before the first write of a plan."""
        self._settled.discard(key)

    async def after_apply(self, resolved: Resolved, outcome: Outcome) -> Outcome:
        """Call after a plan was applied: updates the tenant's Redis user to match its Secret. Raises ClusterError."""
        if outcome.complete:
            self._settled.add(resolved.key)
        if self.users is None:
            return outcome
        redis, observed = resolved.redis, resolved.observed
        if redis is None or not redis.user:
            if resolved.tenant is not None:
                self.users.departed(resolved.key)
            return outcome
        if not is_kept(Ref.of(SECRET, resolved.key.namespace, redis.secret_name), observed, outcome):
            return outcome  # the next reconcile chooses another password
        problem = await self.users.grant(resolved.key, observed.uid, observed.stores.redis_password)
        return replace(outcome, redis=problem)

    def departed(self, observed: Observed) -> None:
        """Drop a tenant that is being deleted. It keeps its Redis user until it is gone: its pods drain."""
        self._settled.discard(observed.key)
        if self.users is not None and observed.body is None:
            self.users.departed(observed.key)


def is_kept(secret: Ref, observed: Observed, outcome: Outcome) -> bool:
    """Whether the Secret now holds the password that was read, or chosen, before the plan was applied."""
    if secret in outcome.failures:
        return False
    live = observed.children.get(secret)
    return secret in outcome.applied or (live is not None and controlled_by(live, observed.uid))
