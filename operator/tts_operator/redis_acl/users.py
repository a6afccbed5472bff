"""Users of the operator's Redis: each tenant has one while it lives. Redis may be away; nobody waits for it.

no user ----grant----> user ----tenant gone----> user and keys removed
   ^                     |
   +---- Redis has lost it (restarted without an ACL file): the next look has the tenant reconciled
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from tts_operator.clock import Clock
from tts_operator.cluster.errors import ClusterError, NotLeading, Refused
from tts_operator.objects.keys import Key
from tts_operator.objects.problem import Problem

log = structlog.get_logger()

LOOK_SECONDS = 15.0
"""Between looks at what Redis holds."""
FIRST_WAIT_SECONDS = 1.0
"""After a failure, before Redis is asked again; twice as long after each further one, up to LOOK_SECONDS."""
MOST_CHECKS = 100
"""Unknown users that are looked up in the cluster at one look."""


class RedisAclError(Exception):
    """Redis did not do it. The message has no password in it."""


class RedisUnreachable(RedisAclError):  # noqa: N818 - it says what happened
    """No answer: whether it was done is unknown."""


class RedisRejected(RedisAclError):  # noqa: N818 - it says what happened
    """It answers, and says no: a person must look."""


@dataclass(frozen=True)
class Registration:
    """One tenant's user."""

    owner: str
    """Namespace and name of the tenant, with a slash between."""
    exists: bool
    """Whether Redis has the user."""


class UserStore(Protocol):
    """Where users are. Everything raises StoreTrouble."""

    async def grant(self, operator: str, uid: str, owner: str, password_sha256: str) -> None:
        """Make the user so, whatever it was before."""

    async def registered(self, operator: str) -> Mapping[str, Registration]:
        """What this operator has made and not removed, by the tenant's UID."""

    async def remove(self, operator: str, uids: Collection[str]) -> None:
        """Users, and everything that they have kept."""


class RedisUsers:
    """`grant` is part of a reconcile; `tend` goes on beside all of them while this operator leads."""

    def __init__(
        self,
        store: UserStore,
        operator: Callable[[], Awaitable[str]],
        may_write: Callable[[], bool],
        clock: Clock,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`operator` gives the name under which this one registers users: no other's, and the same at every start."""
        self._store = store
        self._operator = operator
        self._may_write = may_write
        self._clock = clock
        self._look_seconds = look_seconds
        self._checked = ""  # the last unknown user that was looked up
        self._granted: dict[str, Key] = {}
        self._owed: set[Key] = set()
        self._failure: Problem | None = None
        self._wait_seconds = 0.0
        self._asks_again = 0.0

    async def grant(self, key: Key, uid: str, password: str) -> Problem | None:
        """The tenant's user is so; else why not, and `tend` will have the tenant looked at once Redis is back.

        Raises ClusterError.
        """
        for known, owner in list(self._granted.items()):
            if owner == key and known != uid:
                del self._granted[known]  # a namesake of before
        if not self._may_write():
            raise NotLeading
        if self._failure is not None and self._clock.monotonic() < self._asks_again:
            self._owed.add(key)
            return self._failure
        digest = hashlib.sha256(password.encode()).hexdigest()
        try:
            await self._store.grant(await self._operator(), uid, str(key), digest)
        except RedisAclError as error:
            self._owed.add(key)
            return self._lose(error)
        self._win()
        self._owed.discard(key)
        self._granted[uid] = key
        return None

    def departed(self, key: Key) -> None:
        """The tenant has no user any more: it is gone, or has a Redis of its own."""
        self._owed.discard(key)
        for uid in [uid for uid, owner in self._granted.items() if owner == key]:
            del self._granted[uid]

    def listed(self, keys: Collection[Key]) -> None:
        """These tenants exist, and no others: what a missed event hid."""
        for key in {*self._granted.values(), *self._owed} - set(keys):
            self.departed(key)

    async def tend(self, again: Callable[[Key], None], gone: Callable[[str, Key], Awaitable[bool]]) -> None:
        """Look at Redis until cancelled. `again` has a tenant reconciled; `gone` says whether one of this UID is."""
        while True:
            await asyncio.sleep(self._wait_seconds or self._look_seconds)
            try:
                await self.look(again, gone)
            except RedisAclError as error:
                self._lose(error)
            except ClusterError as error:
                log.warning("users of Redis not compared with tenants", error=str(error))
            except Exception:
                log.exception("users of Redis cannot be looked after")

    async def look(self, again: Callable[[Key], None], gone: Callable[[str, Key], Awaitable[bool]]) -> None:
        """Once: what Redis has lost is made again, and what has no tenant is removed."""
        operator = await self._operator()
        found = await self._store.registered(operator)
        self._win()
        lost = {key for uid, key in self._granted.items() if uid not in found or not found[uid].exists}
        for key in sorted(lost | self._owed):
            again(key)
        unknown = sorted(found.keys() - self._granted.keys(), key=lambda uid: (uid <= self._checked, uid))
        checked = unknown[:MOST_CHECKS]
        self._checked = checked[-1] if checked else ""
        dead = [uid for uid in checked if await self._is_gone(uid, found[uid].owner, gone)]
        if doomed := [uid for uid in dead if uid not in self._granted]:
            await self._store.remove(operator, doomed)
            log.info("users of Redis removed", tenants=[found[uid].owner for uid in doomed])

    async def _is_gone(self, uid: str, owner: str, gone: Callable[[str, Key], Awaitable[bool]]) -> bool:
        key = Key(*owner.split("/", 1)) if "/" in owner else Key("", owner)
        try:
            return await gone(uid, key)
        except Refused:
            return False  # a namespace that this operator may not look into any more

    def _lose(self, error: RedisAclError) -> Problem:
        self._wait_seconds = min(self._wait_seconds * 2 or FIRST_WAIT_SECONDS, self._look_seconds)
        self._asks_again = self._clock.monotonic() + self._wait_seconds
        refused = isinstance(error, RedisRejected)
        reason = "RedisRefused" if refused else "RedisUnavailable"
        what = "refuses to make users" if refused else "does not answer"
        meanwhile = "until it does, each replica gives out its part of the limits"
        if self._failure is None or self._failure.reason != reason:
            log.warning("the operator's Redis is of no use now", reason=reason, error=str(error))
        self._failure = Problem(reason, f"the operator's Redis {what}: {error}; {meanwhile}")
        return self._failure

    def _win(self) -> None:
        if self._failure is not None:
            log.info("the operator's Redis is back")
        self._failure, self._wait_seconds = None, 0.0
