"""The one type for what is wrong: with a tenant, a model, a pod or a write."""

from typing import NamedTuple


class Problem(NamedTuple):
    """What is wrong with a tenant, a model, a pod or a write, and what to do about it."""

    reason: str
    """CamelCase and part of the API: NameTaken, Forbidden, QuotaExceeded, ..."""
    message: str
    """Tells a person what to change."""
