"""Active and queued rollouts, kept between reconciles; `policy` has the rules."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from tts_operator.objects.fields import decimal
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body
from tts_operator.objects.problem import Problem
from tts_operator.rollout.policy import (
    HALTED,
    MAX_CONCURRENT_TENANTS,
    Roll,
    blocked_reason,
    model_of,
    pods_fail,
    roll,
    where,
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
        self._rolls: dict[tuple[Key, str], Roll] = {}
        self._versions: dict[tuple[Key, str], int] = {}
        self._pending: set[tuple[Key, str]] = set()
        self._stuck: set[tuple[Key, str]] = set()
        self._waiting: dict[Key, Mapping[str, str]] = {}  # reason by change
        self._waiting_for: Counter[tuple[str, str]] = Counter()  # tenants by (change, reason)

    @property
    def waiting(self) -> int:
        """Number of queued tenants."""
        return len(self._waiting)

    def saw(self, found: Body, *, gone: bool = False, stuck: bool = False) -> None:
        """Record a Deployment's state. One older than the last recorded state, by resourceVersion, is ignored."""
        here = where(found)
        version = decimal(str(found["metadata"].get("resourceVersion") or ""))
        if here in self._pending or version < self._versions.get(here, 0):
            return
        if stuck:
            self._stuck.add(here)  # until the rollout ends: a crash loop looks healthy every now and then
        rolling = None if gone else roll(found, stuck=here in self._stuck)
        if rolling is None:
            self._forget(here)
        else:
            self._rolls[here] = rolling
            self._versions[here] = version

    def read(self, observed: Observed) -> None:
        """Record the rollout state of all pools of one tenant."""
        pools = {ref.name: found for ref, found in observed.children.items() if ref.kind == "Deployment"}
        for pool, found in pools.items():
            self.saw(found, stuck=pods_fail(found, lookup.pods_of(observed, pool)))
        self._keep(lambda here: here[0] != observed.key or here[1] in pools)

    def keep(self, existing: Collection[tuple[Key, str]]) -> None:
        """Forget every Deployment but these, by `where`."""
        self._keep(lambda here: here in existing)

    def admit(self, key: Key, changes: Mapping[str, str]) -> dict[str, Problem]:
        """Request these changes, by pool. Returns why some must wait; the others count as rolling from now on.

        The caller must report what became of the admitted ones by `mark_applied`, even if it fails.
        """
        blocked: dict[str, Problem] = {}
        for pool, change in changes.items():
            problem = blocked_reason(key, change, self._rolls.values())
            if problem is not None:
                blocked[pool] = problem
                continue
            here = (key, pool)
            self._stuck.discard(here)
            self._rolls[here] = Roll(key, pool, change)
            self._pending.add(here)
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
        self._pending -= {(key, pool) for pool in pools}
        for deployment in applied:
            self.saw(deployment)

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

    def _keep(self, existing: Callable[[tuple[Key, str]], bool]) -> None:
        for here in [each for each in self._rolls if not existing(each)]:
            if here not in self._pending:
                self._forget(here)

    def _forget(self, here: tuple[Key, str]) -> None:
        self._rolls.pop(here, None)
        self._versions.pop(here, None)
        self._stuck.discard(here)


def reason_of(problem: Problem | None) -> str:
    """Reason of a problem; empty for None."""
    return problem.reason if problem else ""
