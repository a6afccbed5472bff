"""The one type for what is wrong: with a tenant, a model, a pod or a write."""

from dataclasses import dataclass
from typing import NamedTuple


class Verdict(NamedTuple):
    """Why something is not as it should be. The reason is CamelCase and API; the message tells a person what to do."""

    reason: str
    message: str


@dataclass(frozen=True)
class Failure:
    """Why one write did not happen.

    ``reason`` is CamelCase and part of the API: NameTaken, Forbidden, Invalid, Conflict, QuotaExceeded, ...
    ``message`` tells a person what to change.
    """

    reason: str
    message: str
