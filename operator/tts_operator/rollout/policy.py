"""How many tenants roll at once because of something that is not theirs. Pure.

A change of a TTSModel, or of the operator, replaces the pods of every tenant that it concerns. They take it in turns,
and once two have failed with it nobody else takes it. What a tenant changes itself is its own affair: it rolls at once.

What a Deployment's pods were made from stands in its annotations, so whoever reads the cluster knows what is under way:
SOURCES tells the three parts apart, ROLLOUT names the change that the Deployment took last, if it took it in turn.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from tts_operator.objects import fields
from tts_operator.objects.fields import annotation
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body
from tts_operator.objects.names import TENANT_LABEL
from tts_operator.objects.problem import Problem
from tts_operator.snapshot.pod_failures import of_pod

MAX_CONCURRENT_TENANTS = 5
"""Tenants."""
FAILURES = 2
"""Tenants that fail with a change before nobody else takes it: one may have troubles of its own."""
SOURCES = "ttsfleet.io/made-from"
ROLLOUT = "ttsfleet.io/rollout"
WAITING, HALTED = "WaitingForRollout", "RolloutHalted"
OPERATOR, MODEL = "operator", "model"
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


def change_cause(before: Sources | None, after: Sources, model: str) -> str:
    """The change, as ROLLOUT names it; empty for what is the tenant's own, and for an edit by hand that is undone."""
    if before is None:
        return f"{OPERATOR}//{after.operator}"
    if before.tenant != after.tenant or before == after:
        return ""
    if before.operator != after.operator:
        return f"{OPERATOR}//{after.operator}"
    return f"{MODEL}/{model}/{after.model}"


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
    progressing = fields.condition(found, "Progressing")
    late = progressing is not None and progressing.get("reason") == "ProgressDeadlineExceeded"
    return Roll(*where(found), change, failed=late or stuck)


def finished(found: Body) -> bool:
    """Whether every replica runs the latest template and answered once.

    The Deployment's controller says so once, and leaves it said while the pool scales or a pod dies later.
    """
    if fields.count(found, "observedGeneration") < int(found["metadata"].get("generation", 0)):
        return False
    updated = fields.count(found, "updatedReplicas")
    progressing = fields.condition(found, "Progressing")
    if progressing is not None:
        return progressing.get("reason") == "NewReplicaSetAvailable" and updated == fields.count(found, "replicas")
    wanted = fields.replicas(found)
    return updated >= wanted and fields.count(found, "availableReplicas") >= wanted


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
        failure.reason in FATAL
        for pod in pods
        if pod["spec"]["containers"][0]["image"] == image
        and notes.items() <= (pod["metadata"].get("annotations") or {}).items()
        for failure in of_pod(pod)
    )


def blocked_reason(key: Key, change: str, rolls: Iterable[Roll]) -> Problem | None:
    """Why this tenant has to wait with this change; None if it may take it now.

    Who is under way may go on to the next change: that is how a mended model reaches those that its fault holds.
    Tenants that fail with other changes take nobody's place: they may never end.
    """
    everyone = list(rolls)
    failed = sorted({each.key for each in everyone if each.change == change and each.failed})
    if len(failed) >= FAILURES:
        names = " and ".join(str(each) for each in failed[:FAILURES])
        return Problem(
            HALTED,
            f"rollout paused: the change of {changed(change)} failed on {names}; it resumes when one of them becomes"
            " ready or the change is fixed",
        )
    busy = {each.key for each in everyone if each.change == change or not each.failed}
    if key in busy or len(busy) < MAX_CONCURRENT_TENANTS:
        return None
    return Problem(
        WAITING,
        f"queued behind the rollouts of {len(busy)} other tenants, at most {MAX_CONCURRENT_TENANTS} at a time;"
        " no action needed",
    )


def changed(change: str) -> str:
    """Who changed, in words."""
    model = model_of(change)
    return "the operator" if model is None else f"TTSModel {model}"


def model_of(change: str) -> str | None:
    """The model that changed; None if the operator did."""
    parts = change.split("/")
    return parts[1] if len(parts) == 3 and parts[0] == MODEL else None
