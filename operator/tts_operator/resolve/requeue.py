"""When to look again for what nobody tells of: Secrets, and the labels of namespaces. Neither is watched.

A person who reads in a condition what is missing makes it, and wants to see the condition go: soon at first. The longer
it is missing, the rarer the looks, because hundreds of tenants may wait for theirs.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from tts_operator.objects import fields
from tts_operator.resolve.resolved import Resolved

SOON = timedelta(seconds=20)
PART_OF_ABSENCE = 10
"""The next look is after this part of the time for which the condition has been False."""
BY_NAMESPACE = frozenset({"ModelNotAllowed", "FallbackNotAllowed"})
"""Problems of models that a label of the namespace mends."""


def requeue(resolved: Resolved) -> Iterator[datetime]:
    """Each instant that is worth a look; none where nothing is missing."""
    if (resolved.redis and resolved.redis.problem) or resolved.observed.stores.s3_problem:
        yield resolved.now + SOON
    if resolved.lacks_keys and not resolved.suspended:
        yield later(resolved, "Available")
    if any(problem.reason in BY_NAMESPACE for problem in resolved.models):
        yield later(resolved, "ModelsResolved")


def later(resolved: Resolved, type_: str) -> datetime:
    """The next look, by how long the status has told of it."""
    said = fields.condition(resolved.observed.body, type_)
    since = fields.instant(said.get("lastTransitionTime")) if said and said.get("status") == "False" else None
    missing = resolved.now - since if since else timedelta()
    return resolved.now + max(SOON, missing / PART_OF_ABSENCE)
