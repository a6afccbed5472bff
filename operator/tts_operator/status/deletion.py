"""Status of a tenant that is being deleted: which finalizers of other programs hold it or its children."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.problem import Problem
from tts_operator.plan.plan import deletion_blocked, foreign_finalizers, terminating
from tts_operator.snapshot.observed import Observed
from tts_operator.status.claim import without_wake
from tts_operator.status.conditions import conditions

PROGRAMMED = "Programmed"


def blocked(observed: Observed) -> Iterator[tuple[Ref, Body, Problem]]:
    """Children that are left of a tenant that is gone or being deleted, and that finalizers hold."""
    for ref, live in sorted(observed.remaining.items(), key=lambda child: child[0]):
        if terminating(live) and foreign_finalizers(live):
            yield ref, live, deletion_blocked(live)


def deletion_status(observed: Observed, now: datetime) -> dict[str, Any] | None:
    """The status with what holds the deletion; None if nothing does."""
    sentences = [f"{ref}: {problem.message}" for ref, _, problem in blocked(observed)]
    if observed.body is not None and foreign_finalizers(observed.body):
        sentences.insert(0, f"the tenant {deletion_blocked(observed.body).message}")
    if not sentences:
        return None
    before = without_wake(observed.status)
    others = [each for each in before.get("conditions") or () if each["type"] != PROGRAMMED]
    problem = Problem("DeletionBlocked", "; ".join(sentences))
    found = conditions({PROGRAMMED: problem}, {}, before.get("conditions") or (), observed.generation, now)
    return {**before, "conditions": [*others, *found]}
