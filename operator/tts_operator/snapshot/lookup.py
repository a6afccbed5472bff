"""Finds objects in a snapshot."""

from tts_operator.calendar.bounds import Bounds
from tts_operator.objects import fields
from tts_operator.objects.kinds import DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, SCALED_OBJECT, SERVICE, Kind
from tts_operator.objects.labels import MODEL_LABEL, POOL_LABEL
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.ownership import controlled_by
from tts_operator.snapshot.observed import Observed


def child(observed: Observed, kind: Kind, name: str) -> Body | None:
    """A live object of this name that the tenant controls, or None."""
    live = observed.children.get(Ref.of(kind, observed.key.namespace, name))
    return live if live is not None and controlled_by(live, observed.uid) else None


def deployment(observed: Observed, pool: str) -> Body | None:
    """Deployment of a pool."""
    return child(observed, DEPLOYMENT, pool)


def own_autoscaler(observed: Observed, pool: str) -> Body | None:
    """HorizontalPodAutoscaler of a pool that the operator itself writes."""
    return child(observed, HORIZONTAL_POD_AUTOSCALER, pool)


def scaled_object(observed: Observed, pool: str) -> Body | None:
    """ScaledObject of a pool."""
    return child(observed, SCALED_OBJECT, pool)


def is_autoscaled(observed: Observed, pool: str) -> bool:
    """Whether the operator has made an autoscaler for a pool."""
    return bool(own_autoscaler(observed, pool) or scaled_object(observed, pool))


def autoscaler(observed: Observed, pool: str) -> Body | None:
    """HorizontalPodAutoscaler of a pool: the operator's, or the one that KEDA makes of the pool's ScaledObject."""
    if (own := own_autoscaler(observed, pool)) is not None:
        return own
    scaled = scaled_object(observed, pool)
    uid = str(scaled["metadata"].get("uid", "")) if scaled else ""
    found = (live for live in foreign_children(observed) if uid and controlled_by(live, uid))
    return next((live for live in found if scales(live, pool)), None)


def foreign_children(observed: Observed) -> list[Body]:
    """HPAs that the tenant does not control: those of KEDA have the labels of their ScaledObject."""
    labelled = (
        live
        for ref, live in observed.children.items()
        if ref.kind == HORIZONTAL_POD_AUTOSCALER.name and not controlled_by(live, observed.uid)
    )
    return [*observed.foreign_autoscalers, *labelled]


def rival_autoscalers(observed: Observed, pool: str) -> list[Body]:
    """HPAs of somebody else that scale a pool's Deployment."""
    scaled = scaled_object(observed, pool)
    uid = scaled["metadata"].get("uid") if scaled else None
    found = (live for live in foreign_children(observed) if scales(live, pool))
    return [live for live in found if uid is None or not controlled_by(live, str(uid))]


def scales(autoscaler: Body, pool: str) -> bool:
    """Whether an HPA scales the Deployment of this name."""
    target = autoscaler["spec"].get("scaleTargetRef") or {}
    return (target.get("kind"), target.get("name")) == (DEPLOYMENT.name, pool)


def scaled_to_zero(observed: Observed, pool: str) -> bool:
    """Whether the pool's HPA has itself scaled it to zero, and will wake it (KEP-2021; Kubernetes 1.37)."""
    condition = fields.condition(autoscaler(observed, pool), "ScaledToZero")
    return condition is not None and condition.get("status") == "True"


def scales_by_load(observed: Observed, pool: str) -> bool:
    """Whether the pool's HPA does not say that it cannot: a new one says nothing yet.

    A ScaledObject without an HPA scales nothing: KEDA has not made it yet, or is not there.
    """
    live = autoscaler(observed, pool)
    if live is None and scaled_object(observed, pool) is not None:
        return False
    conditions = (fields.condition(live, name) for name in ("AbleToScale", "ScalingActive"))
    return live is None or not any(each is not None and each.get("status") == "False" for each in conditions)


def autoscaler_bounds(observed: Observed, pool: str) -> Bounds | None:
    """Bounds that a pool's autoscaler has now."""
    if (live := own_autoscaler(observed, pool)) is not None:
        return Bounds(live["spec"].get("minReplicas", 1), live["spec"]["maxReplicas"])
    if (scaled := scaled_object(observed, pool)) is not None:
        return Bounds(scaled["spec"].get("minReplicaCount", 1), scaled["spec"].get("maxReplicaCount", 1))
    return None


def model_of(observed: Observed, pool: str) -> str:
    """Model name in the label of a pool's Deployment; empty without one."""
    live = deployment(observed, pool)
    return str(live["metadata"].get("labels", {}).get(MODEL_LABEL, "")) if live else ""


def selected_pool(observed: Observed) -> str:
    """Pool that the tenant's Service selects now; empty if there is none."""
    live = child(observed, SERVICE, observed.key.name)
    return str((live["spec"].get("selector") or {}).get(POOL_LABEL, "")) if live else ""


def pods_of(observed: Observed, pool: str) -> list[Body]:
    """Pods of a pool that are neither terminating nor finished."""
    return [
        pod
        for pod in observed.pods
        if (pod["metadata"].get("labels") or {}).get(POOL_LABEL) == pool
        and "deletionTimestamp" not in pod["metadata"]
        and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}
    ]
