"""Reads fields of live Kubernetes objects."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tts_operator.objects.manifest import Body
from tts_operator.objects.names import MANAGER

EXCEEDED_QUOTA = "exceeded quota"
"""Text of the API server in errors and in conditions, whose reason for this is only Forbidden."""


def annotation(live: Body, name: str) -> str:
    """Value of an annotation; empty without one."""
    return str((live["metadata"].get("annotations") or {}).get(name, ""))


def replicas(live: Body) -> int:
    """spec.replicas of a Deployment."""
    return int(live.get("spec", {}).get("replicas", 1))


def count(live: Body, name: str) -> int:
    """Number in the status; 0 where it is absent, as the API omits zeros."""
    return int((live.get("status") or {}).get(name, 0))


def condition(live: Body | None, type_: str) -> Mapping[str, Any] | None:
    """Condition of this type; None without one."""
    conditions = ((live or {}).get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == type_), None)


def rolling(live: Body) -> bool:
    """Whether some replica does not run the Deployment's latest template yet.

    A surge pod that finds no node counts as updated: of a single replica only the pod before it tells.
    """
    behind = count(live, "observedGeneration") < int(live["metadata"].get("generation", 0))
    return behind or count(live, "updatedReplicas") < max(replicas(live), count(live, "replicas"))


def applied_at(live: Body) -> datetime | None:
    """When the operator's last apply changed the object; None if it has not applied it."""
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return instant(entry.get("time"))
    return None


def instant(text: object) -> datetime | None:
    """Parse a Kubernetes timestamp into UTC; None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def decimal(text: str) -> int:
    """Parse a decimal number such as a resourceVersion, which is ordered (KEP-5504); 0 for any other text."""
    return int(text) if text.isdecimal() else 0
