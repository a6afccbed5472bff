"""Reads from Deployments which shared changes are rolled out, and how that goes.

A change of a TTSModel or of the operator replaces the pods of every tenant that uses it. A few tenants roll it out at a
time; `situation` has the rule. A change of a tenant's own spec is not limited.

The state is in annotations of the Deployments, so that the next leader knows what is rolling: SOURCES has digests of
the three parts of a pod template, ROLLOUT names the last shared change that the Deployment took.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

from tts_operator.objects import fields
from tts_operator.objects.fields import annotation
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import TENANT
from tts_operator.objects.labels import ROLLOUT, SOURCES, TENANT_LABEL
from tts_operator.objects.manifest import Body
from tts_operator.objects.names import GROUP
from tts_operator.objects.ownership import controller_of
from tts_operator.rollout.update_strategy import surge_denied
from tts_operator.snapshot.pod_failures import failures_of_pod
from tts_operator.snapshot.unschedulable import NO_ROOM

OPERATOR, MODEL = "operator", "model"
FATAL = frozenset(
    {
        "CrashLoopBackOff",
        "OOMKilled",
        "OOMKilledUnderLoad",
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
    """Whether its pods do not become ready, for a reason that the change may have caused."""
    stalled: bool = False
    """Whether it cannot go on for a reason of its namespace: the change may be good."""
    overdue: bool = False
    """Whether it has taken too long."""

    @property
    def holds_place(self) -> bool:
        """Whether it counts as one of the tenants that roll at the same time."""
        return not self.failed and not self.stalled and not self.overdue


def roll(live: Body, *, stuck: bool = False, no_room: bool = False) -> Roll | None:
    """Rollout of a shared change in a live Deployment; None if there is none or it has finished.

    `stuck`: its pods fail; `no_room`: they are unschedulable. Both are seen in pods, not in the Deployment.
    """
    change = annotation(live, ROLLOUT)
    if not change or finished(live):
        return None
    progressing = fields.condition(live, "Progressing")
    late = progressing is not None and progressing.get("reason") == "ProgressDeadlineExceeded"
    stalled = not stuck and (no_room or paused(live) or surge_denied(live))
    return Roll(*pool_key(live), change, failed=stuck or (late and not stalled), stalled=stalled)


def paused(live: Body) -> bool:
    """Whether someone paused the Deployment, as `kubectl rollout pause` does."""
    return bool(live["spec"].get("paused"))


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


def is_pool(live: Body) -> bool:
    """Whether a TTSTenant controls the Deployment, the one of its label. Anybody may write a label."""
    owner = controller_of(live) or {}
    ours = owner.get("kind") == TENANT.name and str(owner.get("apiVersion", "")).startswith(f"{GROUP}/")
    return ours and owner.get("name") == pool_key(live).tenant.name


def pods_fail(live: Body, pods: Iterable[Body]) -> bool:
    """Whether pods of a Deployment's latest template fail for a FATAL reason."""
    return any(failure.reason in FATAL for pod in latest(live, pods) for failure in failures_of_pod(pod))


def pods_unschedulable(live: Body, pods: Iterable[Body]) -> bool:
    """Whether a pod of a Deployment's latest template finds no node."""
    return any(failure.reason in NO_ROOM for pod in latest(live, pods) for failure in failures_of_pod(pod))


def latest(live: Body, pods: Iterable[Body]) -> Iterator[Body]:
    """Pods of a Deployment's latest template."""
    template = live["spec"]["template"]
    image = template["spec"]["containers"][0]["image"]
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return (
        pod
        for pod in pods
        if pod["spec"]["containers"][0]["image"] == image
        and annotations.items() <= (pod["metadata"].get("annotations") or {}).items()
    )


def changed(change: str) -> str:
    """Object that changed, for a message."""
    model = model_of(change)
    return "the operator" if model is None else f"TTSModel {model}"


def model_of(change: str) -> str | None:
    """Name of the model that changed; None for a change of the operator."""
    parts = change.split("/")
    return parts[1] if len(parts) == 3 and parts[0] == MODEL else None
