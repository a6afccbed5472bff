"""Who rolls and who waits, kept between reconciles: the memory to the rules of rollout_budget.py."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from tts_operator.objects.fields import number
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

NOBODY = Key("", "")
"""Holds no place."""


class RolloutLimiter:
    """Every rollout under way, as the watches, the periodic list and each reading tell; and who waits for one to end.

    For one event loop of the replica that leads. Nothing here must outlive it: a list tells it all again.
    """

    def __init__(self) -> None:
        self._rolls: dict[tuple[Key, str], Roll] = {}
        self._versions: dict[tuple[Key, str], int] = {}
        self._pending: set[tuple[Key, str]] = set()
        self._stuck: set[tuple[Key, str]] = set()
        self._waiting: dict[Key, Mapping[str, str]] = {}  # by change, why
        self._asked: Counter[tuple[str, str]] = Counter()  # the same, and how many wait so

    @property
    def waiting(self) -> int:
        """Tenants whose turn has not come."""
        return len(self._waiting)

    def saw(self, found: Body, *, gone: bool = False, stuck: bool = False) -> None:
        """A live Deployment, or one that is gone; an older state than the last one seen says nothing."""
        here = where(found)
        version = number(str(found["metadata"].get("resourceVersion") or ""))
        if here in self._pending or version < self._versions.get(here, 0):
            return
        if stuck:
            self._stuck.add(here)  # a crash loop looks well every now and then: once seen, it holds until the end
        rolling = None if gone else roll(found, stuck=here in self._stuck)
        if rolling is None:
            self._forget(here)
        else:
            self._rolls[here] = rolling
            self._versions[here] = version

    def read(self, observed: Observed) -> None:
        """One reading of a tenant: its pools, and no others."""
        pools = {ref.name: found for ref, found in observed.children.items() if ref.kind == "Deployment"}
        for pool, found in pools.items():
            self.saw(found, stuck=pods_fail(found, lookup.pods_of(observed, pool)))
        self._keep(lambda here: here[0] != observed.key or here[1] in pools)

    def keep(self, known: Collection[tuple[Key, str]]) -> None:
        """There are no Deployments but these, as `where` names them."""
        self._keep(lambda here: here in known)

    def admit(self, key: Key, changes: Mapping[str, str]) -> dict[str, Problem]:
        """By pool, the change it is due to take in turn. Returns those that wait; the others count from now on."""
        obstacles: dict[str, Problem] = {}
        for pool, change in changes.items():
            found = blocked_reason(key, change, self._rolls.values())
            if found is not None:
                obstacles[pool] = found
                continue
            here = (key, pool)
            self._stuck.discard(here)
            self._rolls[here] = Roll(key, pool, change)
            self._pending.add(here)
        self._asked.subtract(self._waiting.get(key, {}).items())
        if obstacles:  # who waited before keeps its place
            self._waiting[key] = {changes[pool]: problem.reason for pool, problem in obstacles.items()}
            self._asked.update(self._waiting[key].items())
        else:
            self._waiting.pop(key, None)
        return obstacles

    def mark_applied(self, key: Key, pools: Iterable[str], applied: Sequence[Body]) -> None:
        """What became of the pools that were let go: those that were applied, as they are now.

        Of one that failed nobody knows whether the API server took it: it counts until the next reading tells.
        """
        self._pending -= {(key, pool) for pool in pools}
        for found in applied:
            self.saw(found)

    def next_requeue(self) -> list[Key]:
        """Who is to ask again now, the longest waiting first: its turn has come, or it waits for another reason."""
        self._asked = +self._asked
        rolls = list(self._rolls.values())
        changes = {change for change, _ in self._asked}
        problems = {change: blocked_reason(NOBODY, change, rolls) for change in changes}
        news = {(change, told) for change, told in self._asked if reason_of(problems[change]) != told}
        found: list[Key] = []
        free = MAX_CONCURRENT_TENANTS
        for key, told in self._waiting.items() if news else ():
            differing = [problems[change] for change, reason in told.items() if (change, reason) in news]
            if None in differing and free > 0:
                free -= 1
                found.append(key)
            elif any(differing):
                found.append(key)
        return found

    def blocked(self) -> dict[str, Problem]:
        """By model, why nobody takes its change any more, while somebody is still to take it."""
        rolls = list(self._rolls.values())
        found: dict[str, Problem] = {}
        for change in sorted({change for change, _ in +self._asked}):
            problem = blocked_reason(NOBODY, change, rolls)
            if problem is not None and problem.reason == HALTED and model_of(change) is not None:
                waiting = sum(change in changes for changes in self._waiting.values())
                found[str(model_of(change))] = Problem(HALTED, f"{waiting} tenants are queued; {problem.message}")
        return found

    def _keep(self, known: Callable[[tuple[Key, str]], bool]) -> None:
        for here in [each for each in self._rolls if not known(each)]:
            if here not in self._pending:
                self._forget(here)

    def _forget(self, here: tuple[Key, str]) -> None:
        self._rolls.pop(here, None)
        self._versions.pop(here, None)
        self._stuck.discard(here)


def reason_of(problem: Problem | None) -> str:
    """Why, in one word; empty where nothing is in the way."""
    return problem.reason if problem else ""
