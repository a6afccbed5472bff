"""Finds objects in what was observed."""

from tts_operator.calendar.bounds import Bounds
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.names import MODEL_LABEL, POOL_LABEL
from tts_operator.objects.ownership import controlled_by
from tts_operator.snapshot.observed import Observed


def child(observed: Observed, api_version: str, kind: str, name: str) -> Body | None:
    """A live child that is really the tenant's, or None."""
    found = observed.children.get(Ref(api_version, kind, observed.key.namespace, name))
    return found if found is not None and controlled_by(found, observed.uid) else None


def deployment(observed: Observed, pool: str) -> Body | None:
    """A pool's Deployment."""
    return child(observed, "apps/v1", "Deployment", pool)


def autoscaler(observed: Observed, pool: str) -> Body | None:
    """A pool's HPA."""
    return child(observed, "autoscaling/v2", "HorizontalPodAutoscaler", pool)


def autoscaler_bounds(observed: Observed, pool: str) -> Bounds | None:
    """The bounds that a pool's HPA has now."""
    found = autoscaler(observed, pool)
    return Bounds(found["spec"].get("minReplicas", 1), found["spec"]["maxReplicas"]) if found else None


def model_of(observed: Observed, pool: str) -> str:
    """The model that a pool's Deployment is labelled with."""
    found = deployment(observed, pool)
    return str(found["metadata"].get("labels", {}).get(MODEL_LABEL, "")) if found else ""


def selected_pool(observed: Observed) -> str:
    """The pool that the tenant's Service selects now; empty if there is none."""
    found = child(observed, "v1", "Service", observed.key.name)
    return str((found["spec"].get("selector") or {}).get(POOL_LABEL, "")) if found else ""


def pods_of(observed: Observed, pool: str) -> list[Body]:
    """Pods of a pool that are not on their way out."""
    return [
        pod
        for pod in observed.pods
        if (pod["metadata"].get("labels") or {}).get(POOL_LABEL) == pool
        and "deletionTimestamp" not in pod["metadata"]
        and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}
    ]
