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
from tts_operator.rollout.canary import Canary, CanaryState
from tts_operator.rollout.policy import PoolKey, Roll, is_pool, model_of, pods_fail, pods_unschedulable, pool_key, roll
from tts_operator.rollout.progress import RolloutProgress
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
    canary: Canary | None = None
    """The model's change in it, if some tenants take that first."""
    first: bool = False
    """Whether these tenants are among those."""


class Start(NamedTuple):
    """When a pool started a change, by the monotonic clock."""

    change: str
    at: float


class RolloutLimiter:
    """Tracks active rollouts of shared changes, and the tenants that are queued behind them.

    It learns of them from watches, from the periodic list and from each reconcile's reading, so the next leader starts
    with an empty one. Used by one event loop.
    """

    def __init__(
        self, limits: Limits | None = None, clock: Clock | None = None, progress: RolloutProgress | None = None
    ) -> None:
        self.progress = progress or RolloutProgress()
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
        self._canary_states: dict[Canary, tuple[Situation, int, CanaryState]] = {}
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
        self._canary_states.clear()
        self._retain(lambda pool: pool in existing)

    def admit(
        self,
        key: Key,
        changes: Mapping[str, str],
        modes: Mapping[str, Mode] | None = None,
        canaries: Mapping[str, Canary] | None = None,
    ) -> dict[str, Problem]:
        """Request these changes, by pool. Returns why some must wait; the others count as rolling from now on.

        `modes`: those of the pools' models. `canaries`: changes of models that some tenants take first. The caller must
        report what became of the admitted ones by `mark_applied`, even if it fails.
        """
        blocked: dict[str, Problem] = {}
        waiting: dict[Wish, str] = {}
        for name, change in changes.items():
            wish = self._wish(key, change, (modes or {}).get(name, Mode.AUTO), (canaries or {}).get(name))
            problem = self._blocked_reason(key, wish)
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
            problem = self._blocked_reason(Key(wish.namespace, ""), wish)
            if reason_of(problem) != reason:
                outdated[wish, reason] = problem
        startable: list[tuple[int, Key]] = []
        told = self._moved_canaries()
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

    def _moved_canaries(self) -> list[Key]:
        """Queued tenants that are now among the first to take a change, or no longer."""
        wishes = {wish for wish, _ in self._waiting_for if wish.canary is not None}
        first = {wish: self.canary_state(wish.canary).tenants for wish in wishes if wish.canary is not None}
        if not first:
            return []
        return [
            key
            for key, reasons in self._waiting.items()
            if any(wish in first and wish.first != (key in first[wish]) for wish in reasons)
        ]

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

    def canaries(self) -> dict[str, CanaryState]:
        """By model, the state of the change that tenants wait for and that others take first."""
        found = {wish.canary for wish, _ in self._waiting_for if wish.canary is not None}
        return {canary.model: self.canary_state(canary) for canary in sorted(found)}

    def failing(self) -> dict[str, str]:
        """By model, the tenants that its changes fail for, as a clause that names some."""
        return self._situation().failing()

    def canary_state(self, canary: Canary) -> CanaryState:
        """How far a model's change is with the tenants that take it first."""
        situation = self._situation()
        known = self._canary_states.get(canary)
        if known is None or known[:2] != (situation, self.progress.revision):
            failed, unfit = self._stopped_rolls()
            known = (situation, self.progress.revision, self.progress.canary_state(canary, failed, unfit))
            self._canary_states[canary] = known
        return known[2]

    def _stopped_rolls(self) -> tuple[set[PoolKey], set[PoolKey]]:
        """Pools whose rollout fails, and those whose rollout cannot go on for a reason of their namespace."""
        now = self._clock.monotonic()
        failed, unfit = set(), set()
        for pool, rolling in self._rolls.items():
            if rolling.failed:
                failed.add(pool)
            elif rolling.stalled or now >= self._started[pool].at + PLACE_SECONDS:
                unfit.add(pool)
        return failed, unfit

    def _wish(self, key: Key, change: str, mode: Mode, canary: Canary | None) -> Wish:
        if canary is None or mode is not Mode.AUTO:
            return Wish(key.namespace, change, mode)
        return Wish(key.namespace, change, mode, canary, key in self.canary_state(canary).tenants)

    def _blocked_reason(self, key: Key, wish: Wish) -> Problem | None:
        """Why the tenants of a wish may not start now; `key` stands for each of them."""
        if wish.canary is not None:
            state = self.canary_state(wish.canary)
            whose = next(iter(state.tenants), key) if wish.first else key
            if problem := state.blocked_reason(whose, wish.canary.model, self._clock.now()):
                return problem
        return self._situation().blocked_reason(key, wish.change, wish.mode)

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
