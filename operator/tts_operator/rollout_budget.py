"""How many tenants roll at once because of something that is not theirs. Pure.

A change of a TTSModel, or of the operator, replaces the pods of every tenant that it concerns. They take it in turns,
and once two have failed with it nobody else takes it. What a tenant changes itself is its own affair: it rolls at once.

What a Deployment's pods were made from stands in its annotations, so whoever reads the cluster knows what is under way:
SOURCES tells the three parts apart, ROLLOUT names the change that the Deployment took last, if it took it in turn.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from tts_operator import live
from tts_operator.freshness import number
from tts_operator.live import Verdict
from tts_operator.manifest import Body
from tts_operator.names import TENANT_LABEL
from tts_operator.observed import Key, Observed
from tts_operator.pod_troubles import of_pod

AT_ONCE = 5
"""Tenants."""
FAILURES = 2
"""Tenants that fail with a change before nobody else takes it: one may have troubles of its own."""
SOURCES = "ttsfleet.io/made-from"
ROLLOUT = "ttsfleet.io/rollout"
WAITING, HALTED = "WaitingForRollout", "RolloutHalted"
OPERATOR = "operator"
FATAL = frozenset(
    {
        "CrashLoopBackOff",
        "OOMKilled",
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Troubles of a pod that another change mends, and time does not."""


class Sources(NamedTuple):
    """Digests of what a pod template is made from."""

    tenant: str
    model: str
    operator: str

    @classmethod
    def read(cls, found: Body) -> Self | None:
        """Of a live Deployment; None if an older operator made it."""
        parts = annotation(found, SOURCES).split(".")
        return cls(*parts) if len(parts) == 3 and all(parts) else None

    def __str__(self) -> str:
        return ".".join(self)


def cause(before: Sources | None, after: Sources, model: str) -> str:
    """The change, as ROLLOUT names it; empty for what is the tenant's own, and for an edit by hand that is undone."""
    if before is None:
        return f"{OPERATOR}/{after.operator}"
    if before.tenant != after.tenant or before == after:
        return ""
    if before.operator != after.operator:
        return f"{OPERATOR}/{after.operator}"
    return f"{model}/{after.model}"


@dataclass(frozen=True)
class Roll:
    """A pool on its way to a change that it took in turn."""

    key: Key
    pool: str
    change: str
    failed: bool = False


def roll(found: Body, *, stuck: bool = False) -> Roll | None:
    """What a live Deployment is about; None if it is at rest, or its change is its tenant's own."""
    change = annotation(found, ROLLOUT)
    if not change or finished(found):
        return None
    progressing = live.condition(found, "Progressing")
    late = progressing is not None and progressing.get("reason") == "ProgressDeadlineExceeded"
    return Roll(*where(found), change, failed=late or stuck)


def finished(found: Body) -> bool:
    """Whether every replica runs the latest template and answered once.

    The Deployment's controller says so once, and leaves it said while the pool scales or a pod dies later.
    """
    if live.count(found, "observedGeneration") < int(found["metadata"].get("generation", 0)):
        return False
    updated = live.count(found, "updatedReplicas")
    progressing = live.condition(found, "Progressing")
    if progressing is not None:
        return progressing.get("reason") == "NewReplicaSetAvailable" and updated == live.count(found, "replicas")
    wanted = live.replicas(found)
    return updated >= wanted and live.count(found, "availableReplicas") >= wanted


def annotation(found: Body, name: str) -> str:
    """Empty if there is none."""
    return str((found["metadata"].get("annotations") or {}).get(name, ""))


def where(found: Body) -> tuple[Key, str]:
    """The tenant and the pool of a live Deployment."""
    metadata = found["metadata"]
    tenant = (metadata.get("labels") or {}).get(TENANT_LABEL, "")
    return Key(metadata.get("namespace", ""), tenant), metadata["name"]


def pods_fail(found: Body, pods: Iterable[Body]) -> bool:
    """Whether pods of a Deployment's latest template cannot run, for a reason that waiting does not mend."""
    template = found["spec"]["template"]
    image = template["spec"]["containers"][0]["image"]
    notes = (template.get("metadata") or {}).get("annotations") or {}
    return any(
        trouble.reason in FATAL
        for pod in pods
        if pod["spec"]["containers"][0]["image"] == image
        and notes.items() <= (pod["metadata"].get("annotations") or {}).items()
        for trouble in of_pod(pod)
    )


def obstacle(key: Key, change: str, rolls: Iterable[Roll]) -> Verdict | None:
    """Why this tenant has to wait with this change; None if it may take it now.

    Who is under way may go on to the next change: that is how a mended model reaches those that its fault holds.
    Tenants that fail with other changes take nobody's place: they may never end.
    """
    everyone = list(rolls)
    failed = sorted({each.key for each in everyone if each.change == change and each.failed})
    if len(failed) >= FAILURES:
        names = " and ".join(str(each) for each in failed[:FAILURES])
        what = f"{names} fail with the change of {changed(change)}"
        return Verdict(HALTED, f"{what}: nobody else takes it until one of them answers, or it is mended")
    busy = {each.key for each in everyone if each.change == change or not each.failed}
    if key in busy or len(busy) < AT_ONCE:
        return None
    return Verdict(WAITING, f"{len(busy)} tenants take a change now, {AT_ONCE} may at a time: its turn comes by itself")


def changed(change: str) -> str:
    """Who changed, in words."""
    name = change.rpartition("/")[0]
    return "the operator" if name == OPERATOR else f"TTSModel {name}"


class Fleet:
    """Every rollout under way, as the watches, the periodic list and each reading tell; and who waits for one to end.

    For one event loop of the replica that leads. Nothing here must outlive it: a list tells it all again.
    """

    def __init__(self) -> None:
        self._rolls: dict[tuple[Key, str], Roll] = {}
        self._versions: dict[tuple[Key, str], int] = {}
        self._pending: set[tuple[Key, str]] = set()
        self._stuck: set[tuple[Key, str]] = set()
        self._waiting: dict[Key, Mapping[str, str]] = {}  # by change, why

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
            self.saw(found, stuck=pods_fail(found, live.pods_of(observed, pool)))
        self._keep(lambda here: here[0] != observed.key or here[1] in pools)

    def keep(self, known: Collection[tuple[Key, str]]) -> None:
        """There are no Deployments but these, as `where` names them."""
        self._keep(lambda here: here in known)

    def ask(self, key: Key, changes: Mapping[str, str]) -> dict[str, Verdict]:
        """By pool, the change it is due to take in turn. Returns those that wait; the others count from now on."""
        obstacles: dict[str, Verdict] = {}
        for pool, change in changes.items():
            found = obstacle(key, change, self._rolls.values())
            if found is not None:
                obstacles[pool] = found
                continue
            here = (key, pool)
            self._stuck.discard(here)
            self._rolls[here] = Roll(key, pool, change)
            self._pending.add(here)
        if obstacles:
            self._waiting[key] = {changes[pool]: verdict.reason for pool, verdict in obstacles.items()}
        else:
            self._waiting.pop(key, None)
        return obstacles

    def took(self, key: Key, pools: Iterable[str], applied: Sequence[Body]) -> None:
        """What became of the pools that were let go: those that were applied, as they are now.

        Of one that failed nobody knows whether the API server took it: it counts until the next reading tells.
        """
        self._pending -= {(key, pool) for pool in pools}
        for found in applied:
            self.saw(found)

    def upcoming(self) -> list[Key]:
        """Who of those that wait is to ask again now, the longest first: its turn has come, or it waits for another reason."""
        if not self._waiting:
            return []
        rolls = list(self._rolls.values())
        verdicts: dict[str, Verdict | None] = {}
        found: list[Key] = []
        free = AT_ONCE
        for key, told in self._waiting.items():
            for change in told:
                if change not in verdicts:
                    verdicts[change] = obstacle(key, change, rolls)
            now = [verdicts[change] for change in told]
            if None in now and free > 0:
                free -= 1
                found.append(key)
            elif any(
                verdict is not None and verdict.reason != told[change]
                for change, verdict in zip(told, now, strict=True)
            ):
                found.append(key)
        return found

    def _keep(self, known: Callable[[tuple[Key, str]], bool]) -> None:
        for here in [each for each in self._rolls if not known(each)]:
            if here not in self._pending:
                self._forget(here)

    def _forget(self, here: tuple[Key, str]) -> None:
        self._rolls.pop(here, None)
        self._versions.pop(here, None)
        self._stuck.discard(here)
