"""The one type for problems of a tenant, a model, a pod or a write."""

from typing import NamedTuple


class Problem(NamedTuple):
    """A problem of a tenant, a model, a pod or a write, as conditions report it."""

    reason: str
    """CamelCase and part of the API: NameTaken, Forbidden, QuotaExceeded, ..."""
    message: str
    """Tells a person what is wrong, where, and what to change."""
