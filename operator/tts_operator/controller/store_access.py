"""What the operator has for tenants without stores of their own: a user in its Redis, a part of its bucket."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tts_operator.objects.manifest import Ref
from tts_operator.objects.ownership import controlled_by
from tts_operator.objects.problem import Problem
from tts_operator.observe.credential_files import StoreFiles
from tts_operator.plan.actions import Action, Refuse
from tts_operator.plan.outcome import Outcome
from tts_operator.redis_acl.users import RedisUsers
from tts_operator.resolve.resolved import Resolved
from tts_operator.settings import Settings
from tts_operator.snapshot.observed import Observed


@dataclass(frozen=True)
class StoreAccess:
    """Both may be nothing: then tenants have what they bring."""

    files: StoreFiles
    users: RedisUsers | None = None
    _whole: set[str] = field(default_factory=set)

    def is_settled(self, observed: Observed) -> bool:
        """Whether the tenant can have no Secret that nothing mounts: a plan that was cut short may leave one behind."""
        return observed.uid in self._whole

    def before_apply(self, observed: Observed) -> None:
        """To be told of a plan before its first write."""
        self._whole.discard(observed.uid)

    def after_apply(self, observed: Observed) -> None:
        """To be told of a plan of which every write was made."""
        self._whole.add(observed.uid)

    async def grant(self, resolved: Resolved, actions: list[Action], outcome: Outcome) -> Outcome:
        """Have the tenant's user as its Secret says, once there is one. Raises ClusterError."""
        if self.users is None:
            return outcome
        redis, observed = resolved.redis, resolved.observed
        if redis is None or not redis.user:
            if resolved.tenant is not None:
                self.users.departed(observed.key)
            return outcome
        ref = Ref("v1", "Secret", observed.key.namespace, redis.secret_name)
        if not is_kept(ref, observed, actions, outcome.failures):
            return outcome  # the next reconcile would give it another password
        failure = await self.users.grant(observed.key, observed.uid, observed.stores.redis_password)
        return replace(outcome, redis=failure)

    def departed(self, observed: Observed) -> None:
        """To be told of a tenant that is deleted; one that is still being deleted has pods that drain."""
        self._whole.discard(observed.uid)
        if self.users is not None and observed.body is None:
            self.users.departed(observed.key)


NO_STORES = StoreAccess(StoreFiles(Settings(server_image="")))


def is_kept(ref: Ref, observed: Observed, actions: list[Action], failures: Mapping[Ref, Problem]) -> bool:
    """Whether the Secret holds, after this plan, the password that was read or made before it."""
    if ref in failures:
        return False
    written = any(action.ref == ref and not isinstance(action, Refuse) for action in actions)
    live = observed.children.get(ref)
    return written or (live is not None and controlled_by(live, observed.uid))
