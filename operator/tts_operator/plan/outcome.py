"""What became of a plan: the edge that applied it tells the status."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tts_operator.objects.manifest import Ref
from tts_operator.objects.problem import Problem


@dataclass(frozen=True)
class Outcome:
    """One failure does not stop the rest, so there may be several."""

    failures: Mapping[Ref, Problem] = field(default_factory=dict)
    redis: Problem | None = None
    """Why the tenant's user in the operator's Redis may not be as it should."""
