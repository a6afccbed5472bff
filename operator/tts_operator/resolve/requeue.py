"""When to requeue a tenant for what is not watched: Secrets, labels of namespaces, and HPAs of somebody else.

A person who reads in a condition what is missing creates it, and expects the condition to change soon. The longer it is
missing, the longer the interval, because hundreds of tenants may wait for theirs.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from tts_operator.objects import fields
from tts_operator.resolve.resolved import Resolved
from tts_operator.snapshot import lookup
from tts_operator.snapshot.memory_kills import past_kills

MIN_INTERVAL = timedelta(seconds=20)
INTERVALS_PER_ABSENCE = 10
"""The interval grows to this part of the time for which the condition has been False."""
UNWATCHED_REASONS = frozenset(
    {
        "ModelNotAllowed",
        "FallbackNotAllowed",
        "SourceSecretNotFound",
        "SourceSecretInvalid",
        "SourceSecretForbidden",
        "FallbackSourceUnusable",
    }
)
"""Problems of models that a label of the namespace fixes, or a Secret."""


def requeue_times(resolved: Resolved) -> Iterator[datetime]:
    """Each time at which to read again what is missing; none where nothing is."""
    if (resolved.redis and resolved.redis.problem) or resolved.observed.stores.s3_problem:
        yield resolved.now + MIN_INTERVAL
    for name in {pool.name for pool in resolved.pools}:
        yield from (kill.until for kill in past_kills(lookup.pods_of(resolved.observed, name), resolved.now))
    if resolved.lacks_keys and not resolved.stopped:
        yield next_poll(resolved, "Available")
    if any(lookup.rival_autoscalers(resolved.observed, pool.name) for pool in resolved.pools):
        yield next_poll(resolved, "ScalingActive")
    if any(problem.reason in UNWATCHED_REASONS for problem in resolved.model_problems):
        yield next_poll(resolved, "ModelsResolved")


def next_poll(resolved: Resolved, type_: str) -> datetime:
    """The next time to read, by how long the condition of this type has been False."""
    condition = fields.condition(resolved.observed.body, type_)
    is_false = condition is not None and condition.get("status") == "False"
    since = fields.instant(condition.get("lastTransitionTime")) if condition and is_false else None
    absence = resolved.now - since if since else timedelta()
    return resolved.now + max(MIN_INTERVAL, absence / INTERVALS_PER_ABSENCE)
