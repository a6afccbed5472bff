"""When to look again for a Secret that is missing or wrong: nobody may watch Secrets, so nobody tells of them."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from tts_operator import live
from tts_operator.resolved import Resolved

SOON = timedelta(seconds=20)
PART_OF_ABSENCE = 10
"""A Secret with API keys is looked for again after this part of the time for which nobody has been answered: soon where
somebody is about to make it, seldom where hundreds of tenants wait for theirs."""


def secret_looks(resolved: Resolved) -> Iterator[datetime]:
    """Each instant that is worth a look; none where nothing is missing."""
    if resolved.redis and resolved.redis.problem:
        yield resolved.now + SOON
    if resolved.lacks_keys and not resolved.suspended:
        yield resolved.now + max(SOON, unanswered(resolved) / PART_OF_ABSENCE)


def unanswered(resolved: Resolved) -> timedelta:
    """For how long the status has told that callers get no answer."""
    said = live.condition(resolved.observed.body, "Available")
    since = live.instant(said.get("lastTransitionTime")) if said and said.get("status") == "False" else None
    return resolved.now - since if since else timedelta()
