"""Limits how many tenants roll out a shared change at the same time.

A change of a TTSModel or of the operator replaces the pods of every tenant that uses it. A few tenants roll it out at a
time, and after it has failed for two of them no other one starts. A change of a tenant's own spec is not limited.

The state is in annotations of the Deployments, so that the next leader knows what is rolling: SOURCES has digests of
the three parts of a pod template, ROLLOUT names the last shared change that the Deployment took.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from tts_operator.objects import fields
from tts_operator.objects.fields import annotation
from tts_operator.objects.keys import Key
from tts_operator.objects.labels import ROLLOUT, SOURCES, TENANT_LABEL
from tts_operator.objects.manifest import Body
from tts_operator.objects.problem import Problem
from tts_operator.snapshot.pod_failures import failures_of_pod

MAX_CONCURRENT_TENANTS = 5
"""Tenants that roll out shared changes at the same time."""
FAILURES = 2
"""Failed tenants that pause a rollout. A single one may fail for a reason of its own."""
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
"""Pod failures that do not resolve by themselves: another change has to fix them."""


class Sources(NamedTuple):
    """Digests of the three parts of a pod template."""

    tenant: str
    model: str
    operator: str

    @classmethod
    def read(cls, live: Body) -> Self | None:
        """Read them from a live Deployment; None if an older operator created it."""
        parts = annotation(live, SOURCES).split(".")
        return cls(*parts) if len(parts) == 3 and all(parts) else None

    def __str__(self) -> str:
        return ".".join(self)


def change_cause(before: Sources | None, after: Sources, model: str) -> str:
    """Shared change, as in ROLLOUT; empty for a change of the tenant's own spec, and for reverting a manual edit."""
    if before is None:
        return f"{OPERATOR}//{after.operator}"
    if before.tenant != after.tenant or before == after:
        return ""
    if before.operator != after.operator:
        return f"{OPERATOR}//{after.operator}"
    return f"{MODEL}/{model}/{after.model}"


@dataclass(frozen=True)
class Roll:
    """A pool that is rolling out a shared change."""

    key: Key
    pool: str
    change: str
    failed: bool = False


def roll(live: Body, *, stuck: bool = False) -> Roll | None:
    """Rollout of a shared change in a live Deployment; None if there is none or it has finished."""
    change = annotation(live, ROLLOUT)
    if not change or finished(live):
        return None
    progressing = fields.condition(live, "Progressing")
    late = progressing is not None and progressing.get("reason") == "ProgressDeadlineExceeded"
    return Roll(*pool_key(live), change, failed=late or stuck)


def finished(live: Body) -> bool:
    """Whether every replica runs the latest template and has been ready.

    NewReplicaSetAvailable is set once, and stays while the pool scales or a pod dies later.
    """
    if fields.count(live, "observedGeneration") < int(live["metadata"].get("generation", 0)):
        return False
    updated = fields.count(live, "updatedReplicas")
    progressing = fields.condition(live, "Progressing")
    if progressing is not None:
        return progressing.get("reason") == "NewReplicaSetAvailable" and updated == fields.count(live, "replicas")
    replicas = fields.replicas(live)
    return updated >= replicas and fields.count(live, "availableReplicas") >= replicas


class PoolKey(NamedTuple):
    """A pool of any tenant."""

    tenant: Key
    name: str


def pool_key(live: Body) -> PoolKey:
    """Pool of a live Deployment."""
    metadata = live["metadata"]
    tenant = (metadata.get("labels") or {}).get(TENANT_LABEL, "")
    return PoolKey(Key(metadata.get("namespace", ""), tenant), metadata["name"])


def pods_fail(live: Body, pods: Iterable[Body]) -> bool:
    """Whether pods of a Deployment's latest template fail for a FATAL reason."""
    template = live["spec"]["template"]
    image = template["spec"]["containers"][0]["image"]
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return any(
        failure.reason in FATAL
        for pod in pods
        if pod["spec"]["containers"][0]["image"] == image
        and annotations.items() <= (pod["metadata"].get("annotations") or {}).items()
        for failure in failures_of_pod(pod)
    )


def blocked_reason(key: Key, change: str, rolls: Iterable[Roll]) -> Problem | None:
    """Why this tenant may not start the change now; None if it may.

    A tenant that is rolling may start the next change: so a fixed model reaches the tenants that its fault blocks.
    Tenants that failed with another change hold no place: their rollouts may never end.
    """
    everyone = list(rolls)
    failed = sorted({each.key for each in everyone if each.change == change and each.failed})
    if len(failed) >= FAILURES:
        names = " and ".join(str(each) for each in failed[:FAILURES])
        failure = f"the change of {changed(change)} failed on {len(failed)} tenants, such as {names}"
        advice = "It resumes when one of them becomes ready or the change is fixed."
        return Problem(HALTED, f"Rollout paused: {failure}. {advice}")
    rolling = {each.key for each in everyone if each.change == change or not each.failed}
    if key in rolling or len(rolling) < MAX_CONCURRENT_TENANTS:
        return None
    return Problem(WAITING, "Queued behind other tenants' rollouts; no action needed.")


def changed(change: str) -> str:
    """Object that changed, for a message."""
    model = model_of(change)
    return "the operator" if model is None else f"TTSModel {model}"


def model_of(change: str) -> str | None:
    """Name of the model that changed; None for a change of the operator."""
    parts = change.split("/")
    return parts[1] if len(parts) == 3 and parts[0] == MODEL else None
