"""Reads fields of live Kubernetes objects."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tts_operator.objects.manifest import Body
from tts_operator.objects.names import MANAGER


def annotation(found: Body, name: str) -> str:
    """Empty if there is none."""
    return str((found["metadata"].get("annotations") or {}).get(name, ""))


EXCEEDED_QUOTA = "exceeded quota"
"""How the API server words it, in answers and in conditions: what it says otherwise is Forbidden."""


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


def number(version: str) -> int:
    """A resourceVersion as a number; 0, older than all, if the server counts otherwise."""
    return int(version) if version.isdecimal() else 0
