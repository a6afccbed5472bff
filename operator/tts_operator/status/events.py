"""Events for changes of a tenant's status."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tts_operator.status.conditions import _named
from tts_operator.status.policies import WARNINGS

PASSING = frozenset({"Starting", "Suspended", "BeingCollected"})
"""Reasons not to be ready that nobody has to mend: their events are no warnings."""


class Event(NamedTuple):
    """What `kubectl describe` shows below the tenant."""

    type: str
    """Normal or Warning."""
    reason: str
    message: str


def events(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Event]:
    """What changed that people should see."""
    found = []
    conditions_before = before.get("conditions") or ()
    was, now = _named(conditions_before, "Ready"), _named(after.get("conditions") or (), "Ready")
    if (was.get("status"), was.get("reason")) != (now.get("status"), now.get("reason")):
        kind = "Normal" if now["status"] == "True" or now["reason"] in PASSING else "Warning"
        message = now["message"] or "the endpoint answers"
        found.append(Event(kind, "Ready" if now["status"] == "True" else now["reason"], message))
    opened, closed = after.get("activeWindow"), before.get("activeWindow")
    if closed is not None and opened != closed:
        found.append(Event("Normal", "WindowChanged", f"window {opened} opens after {closed}{_bounds(after)}"))
    for warning in WARNINGS:
        said = _named(after.get("conditions") or (), warning)
        if said.get("status") == "False" and said["reason"] != _named(conditions_before, warning).get("reason"):
            found.append(Event("Warning", said["reason"], said["message"]))
    return found


def _bounds(said: Mapping[str, Any]) -> str:
    entry = next(iter(said.get("pools") or ()), None)
    return f": {entry['min']} to {entry['max']} replicas of {entry['model']}" if entry else ""
