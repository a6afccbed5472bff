"""Result of applying a plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tts_operator.objects.kinds import DEPLOYMENT
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.problem import Problem


@dataclass(frozen=True)
class Interference:
    """Another program works against the operator on a child. The endpoint works all the same."""

    ref: Ref
    problem: Problem
    corrected: bool = False
    """Whether this reconcile corrected it."""

    @property
    def message(self) -> str:
        """The child, and what is done to it."""
        return f"{self.ref}: {self.problem.message}"


@dataclass(frozen=True)
class Outcome:
    """Failures and results of a plan's writes. One failure does not stop the rest."""

    failures: Mapping[Ref, Problem] = field(default_factory=dict)
    """Problem of each failed write."""
    applied: Mapping[Ref, Body] = field(default_factory=dict)
    """Applied objects, as the API server returned them."""
    scaled: frozenset[Ref] = frozenset()
    """Deployments whose replicas were written."""
    stale: bool = False
    """An object changed or was deleted between its reading and its write: everything must be read again."""
    redis: Problem | None = None
    """Why the tenant's user in the operator's Redis may not be current."""
    interference: tuple[Interference, ...] = ()
    """Interference of other programs with children, in the order of their references."""
    requeue_at: datetime | None = None
    """When to reconcile again because of that."""

    @property
    def deployments(self) -> list[Body]:
        """Applied Deployments."""
        return [body for ref, body in self.applied.items() if ref.kind == DEPLOYMENT.name]

    @property
    def complete(self) -> bool:
        """Whether every write of the plan was made."""
        return not self.failures and not self.stale
