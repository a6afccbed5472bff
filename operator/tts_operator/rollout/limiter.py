"""Active and queued rollouts, kept between reconciles; `situation` has the rules."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tts_operator.clock import Clock, SystemClock
from tts_operator.objects.fields import annotation, decimal
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import DEPLOYMENT
from tts_operator.objects.labels import ROLLOUT
from tts_operator.objects.manifest import Body
from tts_operator.objects.ownership import controlled_by
from tts_operator.objects.problem import Problem
from tts_operator.rollout.policy import PoolKey, Roll, is_pool, model_of, pods_fail, pods_unschedulable, pool_key, roll
from tts_operator.rollout.situation import Limits, Mode, Situation
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

PLACE_SECONDS = 900.0
"""Longest time for which a rollout holds its place: longer than a pod may take to load its engine."""


class Wish(NamedTuple):
    """A change that tenants of a namespace are queued for."""

    namespace: str
    change: str
    mode: Mode


class Start(NamedTuple):
    """When a pool started a change, by the monotonic clock."""

    change: str
    at: float


class RolloutLimiter:
    """Tracks active rollouts of shared changes, and the tenants that are queued behind them.

    It learns of them from watches, from the periodic list and from each reconcile's reading, so the next leader starts
    with an empty one. Used by one event loop.
    """

    def __init__(self, limits: Limits | None = None, clock: Clock | None = None) -> None:
        self._limits = limits or Limits()
        self._clock = clock or SystemClock()
        self._rolls: dict[PoolKey, Roll] = {}
        self._started: dict[PoolKey, Start] = {}
        self._versions: dict[PoolKey, int] = {}
        self._pending: set[PoolKey] = set()
        self._stuck: set[PoolKey] = set()
        self._no_room: set[PoolKey] = set()
        self._waiting: dict[Key, Mapping[Wish, str]] = {}  # reason by wish
        self._waiting_for: Counter[tuple[Wish, str]] = Counter()  # tenants by (wish, reason)
        self._waiting_for_change: Counter[str] = Counter()
        self._summary: Situation | None = None  # None: to be computed again
        self._summary_until = 0.0  # the next deadline of a place
        self._answered: Situation | None = None  # the situation that `next_requeue` has answered for

    @property
    def waiting(self) -> int:
        """Number of queued tenants."""
        return len(self._waiting)

    def record(self, deployment: Body, *, gone: bool = False, stuck: bool = False, no_room: bool | None = None) -> None:
        """Record a Deployment's state. One older than the last recorded state, by resourceVersion, is ignored.

        One that its tenant does not control is no pool, and counts as gone.
        `stuck` and `no_room` are known from the pods; `no_room` stays as last recorded where it is None.
        """
        pool = pool_key(deployment)
        gone = gone or not is_pool(deployment)
        version = decimal(str(deployment["metadata"].get("resourceVersion") or ""))
        if pool in self._pending or version < self._versions.get(pool, 0):
            return
        if stuck:
            self._stuck.add(pool)  # until the rollout ends: a crash loop looks healthy every now and then
        if no_room is not None:
            (self._no_room.add if no_room else self._no_room.discard)(pool)
        rolling = None if gone else roll(deployment, stuck=pool in self._stuck, no_room=pool in self._no_room)
        if rolling is None:
            self._forget(pool)
            start = self._started.get(pool)
            if start is not None and (gone or annotation(deployment, ROLLOUT) == start.change):
                del self._started[pool]  # otherwise its write has failed: the time before the next attempt counts
        else:
            self._set(pool, rolling)
            self._versions[pool] = version

    def record_tenant(self, observed: Observed) -> None:
        """Record the rollout state of all pools of one tenant."""
        deployments = {
            ref.name: live
            for ref, live in observed.children.items()
            if ref.kind == DEPLOYMENT.name and controlled_by(live, observed.uid)
        }
        for name, live in deployments.items():
            pods = lookup.pods_of(observed, name)
            self.record(live, stuck=pods_fail(live, pods), no_room=pods_unschedulable(live, pods))
        self._retain(lambda pool: pool.tenant != observed.key or pool.name in deployments)

    def retain(self, existing: Collection[PoolKey]) -> None:
        """Forget every Deployment but these, by `pool_key`."""
        self._retain(lambda pool: pool in existing)

    def admit(
        self, key: Key, changes: Mapping[str, str], modes: Mapping[str, Mode] | None = None
    ) -> dict[str, Problem]:
        """Request these changes, by pool. Returns why some must wait; the others count as rolling from now on.

        `modes`: those of the pools' models. The caller must report what became of the admitted ones by `mark_applied`,
        even if it fails.
        """
        blocked: dict[str, Problem] = {}
        waiting: dict[Wish, str] = {}
        for name, change in changes.items():
            wish = Wish(key.namespace, change, (modes or {}).get(name, Mode.AUTO))
            problem = self._situation().blocked_reason(key, change, wish.mode)
            if problem is not None:
                blocked[name] = problem
                waiting[wish] = problem.reason
                continue
            pool = PoolKey(key, name)
            self._stuck.discard(pool)
            self._no_room.discard(pool)
            self._set(pool, Roll(key, name, change))
            self._pending.add(pool)
        self._wait(key, waiting)
        return blocked

    def leave_queue(self, key: Key) -> None:
        """Let a tenant wait for nothing: it has no change to roll out, or belongs to another release."""
        self._wait(key, {})

    def mark_applied(self, key: Key, pools: Iterable[str], applied: Sequence[Body]) -> None:
        """Record the Deployments of admitted pools as they were applied.

        A pool without one failed, perhaps after the API server stored it: it counts as rolling until the next reading.
        """
        self._pending -= {PoolKey(key, pool) for pool in pools}
        for deployment in applied:
            self.record(deployment)

    def next_requeue(self, *, again: bool = False) -> list[Key]:
        """Queued tenants to reconcile now: they may start, or wait for another reason.

        Namespaces take turns; within one, the longest queued tenant is first. A second call for the same situation
        returns none, except `again`: the tenants of the first call may not have got as far as to start.
        """
        situation = self._situation()
        if situation is self._answered and not again:
            return []
        self._answered = situation
        self._waiting_for = +self._waiting_for
        outdated: dict[tuple[Wish, str], Problem | None] = {}
        for wish, reason in self._waiting_for:
            problem = situation.blocked_reason(Key(wish.namespace, ""), wish.change, wish.mode)
            if reason_of(problem) != reason:
                outdated[wish, reason] = problem
        startable: list[tuple[int, Key]] = []
        told: list[Key] = []
        turns: Counter[str] = Counter()
        for key, reasons in self._waiting.items() if outdated else ():
            current = [outdated[each] for each in reasons.items() if each in outdated]
            if None in current:
                startable.append((situation.placed(key.namespace) + turns[key.namespace], key))
                turns[key.namespace] += 1
            elif current:
                told.append(key)
        startable.sort(key=lambda each: each[0])
        return [*(key for _, key in startable[: max(situation.free, 0)]), *told]

    def halted(self) -> dict[str, Problem]:
        """Changes that tenants are queued for and none may start, because of failures."""
        situation = self._situation()
        halted: dict[str, Problem] = {}
        self._waiting_for_change = +self._waiting_for_change
        for change, count in sorted(self._waiting_for_change.items()):
            if problem := situation.halt(change):
                halted[change] = Problem(problem.reason, f"{count} tenants are queued. {problem.message}")
        return halted

    def blocked(self) -> dict[str, Problem]:
        """Paused changes of models that tenants are queued for, by model name."""
        return {model: problem for change, problem in self.halted().items() if (model := model_of(change)) is not None}

    def failing(self) -> dict[str, str]:
        """By model, the tenants that its changes fail for, as a clause that names some."""
        return self._situation().failing()

    def _wait(self, key: Key, reasons: Mapping[Wish, str]) -> None:
        before = self._waiting.get(key, {})
        if before == reasons:
            return
        self._waiting_for.subtract(before.items())
        self._waiting_for.update(reasons.items())
        self._waiting_for_change.subtract(wish.change for wish in before if wish.mode is Mode.AUTO)
        self._waiting_for_change.update(wish.change for wish in reasons if wish.mode is Mode.AUTO)
        if reasons:  # a tenant that is queued already keeps its position
            self._waiting[key] = reasons
        else:
            self._waiting.pop(key, None)
        self._answered = None

    def _situation(self) -> Situation:
        """The rollouts that hold a place now, and the failed ones."""
        now = self._clock.monotonic()
        if self._summary is None or now >= self._summary_until:
            ends = {pool: self._started[pool].at + PLACE_SECONDS for pool in self._rolls}
            rolls = [replace(each, overdue=now >= ends[pool]) for pool, each in self._rolls.items()]
            self._summary = Situation(rolls, self._limits)
            self._summary_until = min((end for end in ends.values() if end > now), default=float("inf"))
        return self._summary

    def _set(self, pool: PoolKey, rolling: Roll) -> None:
        if self._rolls.get(pool) != rolling:
            self._rolls[pool] = rolling
            self._summary = None
        if pool not in self._started or self._started[pool].change != rolling.change:
            self._started[pool] = Start(rolling.change, self._clock.monotonic())
            self._summary = None

    def _retain(self, existing: Callable[[PoolKey], bool]) -> None:
        for pool in [each for each in self._started if not existing(each)]:
            if pool not in self._pending:
                self._forget(pool)
                del self._started[pool]

    def _forget(self, pool: PoolKey) -> None:
        if self._rolls.pop(pool, None) is not None:
            self._summary = None
        self._versions.pop(pool, None)
        self._stuck.discard(pool)
        self._no_room.discard(pool)


def reason_of(problem: Problem | None) -> str:
    """Reason of a problem; empty for None."""
    return problem.reason if problem else ""
