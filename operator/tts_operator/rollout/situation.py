"""Decides which tenants may start a shared change, from the rollouts that are under way.

Teams do not trust each other, so no namespace may stop the others. Three rules follow from that:

- A namespace holds at most half of the places, so that tenants of other namespaces always find one.
- A rollout that stalls for a reason of its namespace gives its place back at once: no room, a full ResourceQuota, a
  paused Deployment. That says nothing about the change. Within its namespace it counts until its deadline, so that a
  change without room does not start on all tenants of a namespace.
- Failures count once per namespace. Those of one namespace pause the change there, those of several everywhere.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tts_operator.objects.keys import Key
from tts_operator.objects.labels import ROLLOUT_MODE
from tts_operator.objects.problem import Problem
from tts_operator.rollout.policy import Roll, changed, model_of

MAX_CONCURRENT_TENANTS = 5
"""Default of the tenants that roll out shared changes at the same time."""
FAILURE_NAMESPACES = 2
"""Default of the namespaces with a failed tenant that pause a change. A single one may have a reason of its own."""
FAILURES_IN_NAMESPACE = 2
"""Failed tenants of one namespace that pause a change there."""
WAITING, HALTED, PAUSED = "WaitingForRollout", "RolloutHalted", "RolloutPaused"


class Mode(StrEnum):
    """How a model's pools roll out shared changes: the value of its annotation ROLLOUT_MODE."""

    AUTO = "Auto"
    """A few at a time, and no more once it fails."""
    PAUSED = "Paused"
    """No tenant starts."""
    IGNORE_FAILURES = "IgnoreFailures"
    """A few at a time, whatever fails."""
    UNLIMITED = "Unlimited"
    """All at once, whatever fails."""


def mode_of(annotations: Mapping[str, str]) -> Mode:
    """Mode in a model's annotations; AUTO for none and for a value that is none of the modes."""
    value = annotations.get(ROLLOUT_MODE, "")
    return Mode(value) if value in set(Mode) else Mode.AUTO


@dataclass(frozen=True)
class Limits:
    """Limits of shared rollouts."""

    concurrent_tenants: int = MAX_CONCURRENT_TENANTS
    failure_namespaces: int = FAILURE_NAMESPACES

    @property
    def tenants_per_namespace(self) -> int:
        """Half of the places, rounded up."""
        return (self.concurrent_tenants + 1) // 2


class Situation:
    """Rollouts that are under way, summed up once for many decisions."""

    def __init__(self, rolls: Iterable[Roll], limits: Limits) -> None:
        self._limits = limits
        self._placed: defaultdict[str, set[Key]] = defaultdict(set)  # tenants with a place, by namespace
        self._unfinished: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)  # by change and namespace
        self._failed: defaultdict[str, defaultdict[str, set[Key]]] = defaultdict(lambda: defaultdict(set))
        for each in rolls:
            if not each.overdue:
                self._unfinished[each.change, each.key.namespace].add(each.key)
            if each.holds_place:
                self._placed[each.key.namespace].add(each.key)
            elif each.failed:
                self._failed[each.change][each.key.namespace].add(each.key)
        share = limits.tenants_per_namespace
        self.free = limits.concurrent_tenants - sum(min(len(tenants), share) for tenants in self._placed.values())
        """Number of free places; negative where room appeared for several stalled rollouts at once.

        Whatever a namespace holds beyond its share, as by Deployments with a forged owner, takes no place from others.
        """

    def placed(self, namespace: str) -> int:
        """Number of places that a namespace holds."""
        return len(self._placed.get(namespace, ()))

    def blocked_reason(self, key: Key, change: str, mode: Mode = Mode.AUTO) -> Problem | None:
        """Why this tenant may not start the change now; None if it may. The message names no other namespace.

        A tenant that is rolling may start the next change: so a fixed model reaches the tenants that its fault blocks.
        """
        if mode is Mode.UNLIMITED:
            return None
        if mode is Mode.PAUSED:
            return Problem(PAUSED, "The platform team paused rollouts of the TTSModel; no action needed.")
        if mode is Mode.AUTO and (problem := self._halted(key.namespace, change)):
            return problem
        rolling = key in self._placed.get(key.namespace, ())
        if rolling or (self.free > 0 and self._has_share(key.namespace, change, mode)):
            return None
        return Problem(WAITING, "Queued behind other tenants' rollouts; no action needed.")

    def halt(self, change: str) -> Problem | None:
        """Why no further tenant starts the change, for the platform team: it names the tenants. None if they do."""
        failed: Mapping[str, set[Key]] = self._failed.get(change, {})
        if len(failed) < self._limits.failure_namespaces:
            return None
        return Problem(HALTED, f"Rollout paused: {failures(change, failed.values())}. {ADVICE}")

    def failing(self) -> dict[str, str]:
        """By model, the tenants that its changes fail for, as a clause that names some."""
        clauses: defaultdict[str, list[str]] = defaultdict(list)
        for change, by_namespace in sorted(self._failed.items()):
            if (model := model_of(change)) is not None:
                clauses[model].append(failures(change, by_namespace.values()))
        return {model: "; ".join(each) for model, each in clauses.items()}

    def _has_share(self, namespace: str, change: str, mode: Mode) -> bool:
        """Whether one more tenant of the namespace may start the change, if there is a place."""
        under_way = self._placed.get(namespace, set()) | self._unfinished.get((change, namespace), set())
        failed: Mapping[str, set[Key]] = self._failed.get(change, {})
        if mode is Mode.IGNORE_FAILURES:
            under_way = under_way - failed.get(namespace, set())
        return len(under_way) < self._limits.tenants_per_namespace

    def _halted(self, namespace: str, change: str) -> Problem | None:
        failed = self._failed.get(change)
        if failed is None:
            return None
        own = sorted(key.name for key in failed.get(namespace, ()))
        if len(own) >= FAILURES_IN_NAMESPACE:
            names = " and ".join(own[:FAILURES_IN_NAMESPACE])
            where = f"on {len(own)} tenants of this namespace, such as {names}"
        elif len(failed) >= self._limits.failure_namespaces:
            where = f"in {len(failed)} namespaces"
        else:
            return None
        advice = "It resumes when one of them becomes ready or the change is fixed."
        return Problem(HALTED, f"Rollout paused: the change of {changed(change)} failed {where}. {advice}")


ADVICE = (
    "It resumes when one of them becomes ready or the model is fixed."
    f" To go on regardless, annotate the TTSModel with {ROLLOUT_MODE}={Mode.IGNORE_FAILURES}."
)


def failures(change: str, failed: Iterable[Iterable[Key]]) -> str:
    """Clause that says for how many tenants a change failed, and names one of each of two namespaces."""
    tenants = [sorted(keys) for keys in failed]
    count = sum(map(len, tenants))
    names = " and ".join(sorted(str(keys[0]) for keys in tenants)[:2])
    return f"the change of {changed(change)} failed on {count} tenant{'s' * (count > 1)}, such as {names}"
