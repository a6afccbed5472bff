"""Builds Kubernetes conditions."""

from collections.abc import Container, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tts_operator.objects.problem import Problem

MAX_MESSAGE_CHARACTERS = 2000
AS_SPECIFIED = "AsSpecified"
"""Reason of a condition that is True without a note."""


def conditions(
    problems: Mapping[str, Problem | None],
    notes: Mapping[str, Problem | None],
    before: Iterable[Mapping[str, Any]],
    generation: int,
    now: datetime,
    *,
    negative: Container[str] = (),
) -> list[dict[str, Any]]:
    """One condition per type of `problems`: False with its problem, or True with its note, if it has one.

    The types in `negative` are True with their problem, and False with their note.
    """
    previous = {each["type"]: each for each in before}

    def condition(type_: str, problem: Problem | None) -> dict[str, Any]:
        status = "True" if (problem is None) is not (type_ in negative) else "False"
        reason, message = problem or notes.get(type_) or Problem(AS_SPECIFIED, "")
        unchanged = previous.get(type_, {}).get("status") == status
        return {
            "type": type_,
            "status": status,
            "observedGeneration": generation,
            "lastTransitionTime": previous[type_]["lastTransitionTime"] if unchanged else timestamp(now),
            "reason": reason,
            "message": message[:MAX_MESSAGE_CHARACTERS],
        }

    return [condition(type_, problem) for type_, problem in problems.items()]


def condition_of(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """The condition of this type in a status; empty if there is none."""
    return next((each for each in status.get("conditions") or () if each["type"] == type_), {})


def timestamp(instant: datetime) -> str:
    """RFC 3339 in UTC, to the second, as Kubernetes writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
