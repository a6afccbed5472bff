"""What live objects say, read in one place: pure functions over one reading of the cluster."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tts_operator.manifest import Body, Ref
from tts_operator.names import MANAGER, MODEL_LABEL, POOL_LABEL
from tts_operator.observed import Observed, controlled_by
from tts_operator.schedule import Bounds


class Verdict(NamedTuple):
    """Why something is not as it should be. The reason is CamelCase and API; the message tells a person what to do."""

    reason: str
    message: str


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


def replicas(found: Body) -> int:
    """What a Deployment asks for."""
    return int(found.get("spec", {}).get("replicas", 1))


def count(found: Body, name: str) -> int:
    """A number of the status that the API leaves out when it is zero."""
    return int((found.get("status") or {}).get(name, 0))


def condition(found: Body | None, type_: str) -> Mapping[str, Any] | None:
    """A condition of any object that has conditions."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == type_), None)


def rolling(found: Body) -> bool:
    """Whether some replica does not run the Deployment's latest template yet."""
    behind = count(found, "observedGeneration") < int(found["metadata"].get("generation", 0))
    return behind or count(found, "updatedReplicas") < replicas(found)


def applied_at(found: Body) -> datetime | None:
    """When our last apply changed the object; None where it does not say."""
    for entry in found["metadata"].get("managedFields") or ():
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return instant(entry.get("time"))
    return None


def instant(text: object) -> datetime | None:
    """A Kubernetes timestamp, in UTC."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
