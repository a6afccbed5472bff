"""Builds Kubernetes conditions."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tts_operator.objects.problem import Problem

LONGEST_MESSAGE = 2000
HOLDS = "AsSpecified"


def conditions(
    problems: Mapping[str, Problem | None],
    notes: Mapping[str, Problem | None],
    before: Iterable[Mapping[str, Any]],
    generation: int,
    now: datetime,
) -> list[dict[str, Any]]:
    """A condition of each type: False for its verdict's reason, True where there is none, with what is noted of it."""
    known = {each["type"]: each for each in before}

    def condition(type_: str, problem: Problem | None) -> dict[str, Any]:
        said = "False" if problem else "True"
        reason, message = problem or notes.get(type_) or Problem(HOLDS, "")
        same = known.get(type_, {}).get("status") == said
        return {
            "type": type_,
            "status": said,
            "observedGeneration": generation,
            "lastTransitionTime": known[type_]["lastTransitionTime"] if same else stamp(now),
            "reason": reason,
            "message": message[:LONGEST_MESSAGE],
        }

    return [condition(type_, problem) for type_, problem in problems.items()]


def stamp(instant: datetime) -> str:
    """RFC 3339 in UTC, to the second, as Kubernetes writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _named(found: Iterable[Mapping[str, Any]], type_: str) -> Mapping[str, Any]:
    return next((each for each in found if each["type"] == type_), {})
