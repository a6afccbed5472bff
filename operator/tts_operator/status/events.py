"""Events for changes of a tenant's status."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tts_operator.plan.outcome import Outcome
from tts_operator.snapshot.memory_kills import UNDER_LOAD
from tts_operator.status.conditions import condition_of
from tts_operator.status.policies import SCALED_TO_ZERO, SUSPENDED, THROTTLED, WARNINGS

TRANSIENT = frozenset({"Starting", SUSPENDED, "BeingCollected", SCALED_TO_ZERO})
"""Reasons not to be Ready that need no action: their events are of type Normal."""


class Event(NamedTuple):
    """An event, as `kubectl describe` shows it below the tenant."""

    type: str
    """Normal or Warning."""
    reason: str
    message: str


def events(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Event]:
    """Events for condition transitions and changes of the active window, from one status to the next."""
    result = []
    was, now = readiness(before), readiness(after)
    if was != now:
        ready = condition_of(after, "Ready")
        type_ = "Normal" if ready["status"] == "True" or now in TRANSIENT else "Warning"
        result.append(Event(type_, now, "the endpoint is ready" if now == "Ready" else ready["message"]))
    closed, opened = before.get("activeWindow"), after.get("activeWindow")
    if closed is not None and opened != closed:
        message = f"active window changed from {closed} to {opened}{_bounds(after)}"
        result.append(Event("Normal", "WindowChanged", message))
    killed, known = condition_of(after, "Available"), condition_of(before, "Available")
    if killed.get("reason") == UNDER_LOAD and killed["status"] == "True" and killed["message"] != known.get("message"):
        result.append(Event("Warning", killed["reason"], killed["message"]))
    for type_ in (*WARNINGS, "Programmed"):
        warning = condition_of(after, type_)
        if warning.get("status") != "False" or warning["reason"] == condition_of(before, type_).get("reason"):
            continue
        told = {now, *THROTTLED} if type_ == "Programmed" else {now}  # by the event about Ready, or by Progressing
        if warning["reason"] not in told:
            result.append(Event("Warning", warning["reason"], warning["message"]))
    return result


def readiness(status: Mapping[str, Any]) -> str:
    """Reason of an event about the condition Ready; empty before the first report.

    A rollout beside pods that serve is no event: Ready stays True, and Progressing tells it.
    """
    found = condition_of(status, "Ready")
    if found.get("status") == "True" and found["reason"] not in (SUSPENDED, SCALED_TO_ZERO):
        return "Ready"
    return str(found.get("reason", ""))


def interference_events(outcome: Outcome) -> list[Event]:
    """An event for each child that was corrected again: recorded each time, so that it has a count."""
    return [Event("Warning", each.problem.reason, each.message) for each in outcome.interference if each.corrected]


def _bounds(status: Mapping[str, Any]) -> str:
    entry = next(iter(status.get("pools") or ()), None)
    return f": {entry['min']} to {entry['max']} replicas of {entry['model']}" if entry else ""
