"""What became of a plan: the edge that applied it tells the status."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tts_operator.manifest import Ref


@dataclass(frozen=True)
class Failure:
    """Why one write did not happen.

    ``reason`` is CamelCase and part of the API: NameTaken, Forbidden, Invalid, Conflict, QuotaExceeded, ...
    ``message`` tells a person what to change.
    """

    reason: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """One failure does not stop the rest, so there may be several."""

    failures: Mapping[Ref, Failure] = field(default_factory=dict)
    redis: Failure | None = None
    """Why the tenant's user in the operator's Redis may not be as it should."""
