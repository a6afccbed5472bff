"""Active and queued rollouts, kept between reconciles; `policy` has the rules."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from tts_operator.objects.fields import decimal
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import DEPLOYMENT
from tts_operator.objects.manifest import Body
from tts_operator.objects.problem import Problem
from tts_operator.rollout.policy import (
    HALTED,
    MAX_CONCURRENT_TENANTS,
    PoolKey,
    Roll,
    blocked_reason,
    model_of,
    pods_fail,
    pool_key,
    roll,
)
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

NO_TENANT = Key("", "")
"""Stands for any tenant that is not rolling."""


class RolloutLimiter:
    """Tracks active rollouts of shared changes, and the tenants that are queued behind them.

    It learns of them from watches, from the periodic list and from each reconcile's reading, so the next leader starts
    with an empty one. Used by one event loop.
    """

    def __init__(self) -> None:
        self._rolls: dict[PoolKey, Roll] = {}
        self._versions: dict[PoolKey, int] = {}
        self._pending: set[PoolKey] = set()
        self._stuck: set[PoolKey] = set()
        self._waiting: dict[Key, Mapping[str, str]] = {}  # reason by change
        self._waiting_for: Counter[tuple[str, str]] = Counter()  # tenants by (change, reason)

    @property
    def waiting(self) -> int:
        """Number of queued tenants."""
        return len(self._waiting)

    def record(self, deployment: Body, *, gone: bool = False, stuck: bool = False) -> None:
        """Record a Deployment's state. One older than the last recorded state, by resourceVersion, is ignored."""
        pool = pool_key(deployment)
        version = decimal(str(deployment["metadata"].get("resourceVersion") or ""))
        if pool in self._pending or version < self._versions.get(pool, 0):
            return
        if stuck:
            self._stuck.add(pool)  # until the rollout ends: a crash loop looks healthy every now and then
        rolling = None if gone else roll(deployment, stuck=pool in self._stuck)
        if rolling is None:
            self._forget(pool)
        else:
            self._rolls[pool] = rolling
            self._versions[pool] = version

    def record_tenant(self, observed: Observed) -> None:
        """Record the rollout state of all pools of one tenant."""
        deployments = {ref.name: live for ref, live in observed.children.items() if ref.kind == DEPLOYMENT.name}
        for name, live in deployments.items():
            self.record(live, stuck=pods_fail(live, lookup.pods_of(observed, name)))
        self._retain(lambda pool: pool.tenant != observed.key or pool.name in deployments)

    def retain(self, existing: Collection[PoolKey]) -> None:
        """Forget every Deployment but these, by `pool_key`."""
        self._retain(lambda pool: pool in existing)

    def admit(self, key: Key, changes: Mapping[str, str]) -> dict[str, Problem]:
        """Request these changes, by pool. Returns why some must wait; the others count as rolling from now on.

        The caller must report what became of the admitted ones by `mark_applied`, even if it fails.
        """
        blocked: dict[str, Problem] = {}
        for name, change in changes.items():
            problem = blocked_reason(key, change, self._rolls.values())
            if problem is not None:
                blocked[name] = problem
                continue
            pool = PoolKey(key, name)
            self._stuck.discard(pool)
            self._rolls[pool] = Roll(key, name, change)
            self._pending.add(pool)
        self._waiting_for.subtract(self._waiting.get(key, {}).items())
        if blocked:  # a tenant that is queued already keeps its position
            self._waiting[key] = {changes[pool]: problem.reason for pool, problem in blocked.items()}
            self._waiting_for.update(self._waiting[key].items())
        else:
            self._waiting.pop(key, None)
        return blocked

    def mark_applied(self, key: Key, pools: Iterable[str], applied: Sequence[Body]) -> None:
        """Record the Deployments of admitted pools as they were applied.

        A pool without one failed, perhaps after the API server stored it: it counts as rolling until the next reading.
        """
        self._pending -= {PoolKey(key, pool) for pool in pools}
        for deployment in applied:
            self.record(deployment)

    def next_requeue(self) -> list[Key]:
        """Queued tenants to reconcile now, the longest queued first: they may start, or wait for another reason."""
        self._waiting_for = +self._waiting_for
        rolls = list(self._rolls.values())
        changes = {change for change, _ in self._waiting_for}
        problems = {change: blocked_reason(NO_TENANT, change, rolls) for change in changes}
        outdated = {(change, reason) for change, reason in self._waiting_for if reason_of(problems[change]) != reason}
        requeued: list[Key] = []
        free = MAX_CONCURRENT_TENANTS
        for key, reasons in self._waiting.items() if outdated else ():
            current = [problems[change] for change, reason in reasons.items() if (change, reason) in outdated]
            if None in current and free > 0:
                free -= 1
                requeued.append(key)
            elif any(current):
                requeued.append(key)
        return requeued

    def blocked(self) -> dict[str, Problem]:
        """Paused changes of models that tenants are queued for, by model name."""
        rolls = list(self._rolls.values())
        blocked: dict[str, Problem] = {}
        for change in sorted({change for change, _ in +self._waiting_for}):
            model, problem = model_of(change), blocked_reason(NO_TENANT, change, rolls)
            if problem is not None and problem.reason == HALTED and model is not None:
                waiting = sum(change in changes for changes in self._waiting.values())
                blocked[model] = Problem(HALTED, f"{waiting} tenants are queued. {problem.message}")
        return blocked

    def _retain(self, existing: Callable[[PoolKey], bool]) -> None:
        for pool in [each for each in self._rolls if not existing(each)]:
            if pool not in self._pending:
                self._forget(pool)

    def _forget(self, pool: PoolKey) -> None:
        self._rolls.pop(pool, None)
        self._versions.pop(pool, None)
        self._stuck.discard(pool)


def reason_of(problem: Problem | None) -> str:
    """Reason of a problem; empty for None."""
    return problem.reason if problem else ""
