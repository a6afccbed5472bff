"""ACL users in the operator's Redis, one per tenant. No reconcile waits for a Redis that is unavailable.

no user ----grant----> user ----tenant deleted----> user and keys removed
   ^                     |
   +---- Redis lost it (restarted without an ACL file): the next sync requeues the tenant
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

SYNC_SECONDS = 15.0
"""Interval of syncs with Redis."""
FIRST_BACKOFF_SECONDS = 1.0
"""Delay before the next command after a failure; it doubles with each further failure, up to SYNC_SECONDS."""
MAX_CHECKS = 100
"""Maximum number of unknown users that one sync looks up in the cluster."""


class RedisAclError(Exception):
    """Redis did not execute a command. The message contains no password."""


class RedisUnreachable(RedisAclError):  # noqa: N818 - it says what happened
    """No response: whether the command was executed is unknown."""


class RedisRejected(RedisAclError):  # noqa: N818 - it says what happened
    """Redis rejected the command: a person must fix its configuration or permissions."""


@dataclass(frozen=True)
class Registration:
    """A tenant's user, as registered."""

    owner: str
    """Tenant as namespace/name."""
    exists: bool
    """Whether the ACL user exists."""


class UserStore(Protocol):
    """Store of ACL users. Every method raises RedisAclError."""

    async def grant(self, operator: str, uid: str, owner: str, password_sha256: str) -> None:
        """Create the user, or replace its password and permissions: it can access the tenant's keys only."""

    async def registered(self, operator: str) -> Mapping[str, Registration]:
        """Users that this operator has created and not removed, by the tenant's UID."""

    async def remove(self, operator: str, uids: Collection[str]) -> None:
        """Remove users and all of their keys."""


class RedisUsers:
    """Keeps ACL users in sync with tenants: `grant` as part of a reconcile, `run` while this operator leads."""

    def __init__(
        self,
        store: UserStore,
        operator: Callable[[], Awaitable[str]],
        may_write: Callable[[], bool],
        clock: Clock,
        sync_seconds: float = SYNC_SECONDS,
    ) -> None:
        """`operator` returns the name that registers users: unique to this operator, stable over restarts."""
        self._store = store
        self._operator = operator
        self._may_write = may_write
        self._clock = clock
        self._sync_seconds = sync_seconds
        self._last_checked = ""  # UID of the last unknown user that was looked up
        self._granted: dict[str, Key] = {}
        self._failed: set[Key] = set()  # tenants whose grant failed
        self._problem: Problem | None = None
        self._backoff_seconds = 0.0
        self._retry_at = 0.0

    async def grant(self, key: Key, uid: str, password: str) -> Problem | None:
        """Create or update the tenant's user. Returns why that failed; `run` requeues the tenant when Redis is back.

        Raises ClusterError.
        """
        for granted_uid, owner in list(self._granted.items()):
            if owner == key and granted_uid != uid:
                del self._granted[granted_uid]  # a deleted tenant of the same name
        if not self._may_write():
            raise NotLeading
        if self._problem is not None and self._clock.monotonic() < self._retry_at:
            self._failed.add(key)
            return self._problem
        digest = hashlib.sha256(password.encode()).hexdigest()
        try:
            await self._store.grant(await self._operator(), uid, str(key), digest)
        except RedisAclError as error:
            self._failed.add(key)
            return self._mark_unavailable(error)
        self._mark_available()
        self._failed.discard(key)
        self._granted[uid] = key
        return None

    def departed(self, key: Key) -> None:
        """Forget a tenant that was deleted, or now has its own Redis."""
        self._failed.discard(key)
        for uid in [uid for uid, owner in self._granted.items() if owner == key]:
            del self._granted[uid]

    def listed(self, keys: Collection[Key]) -> None:
        """Forget every tenant but these, which a full list returned: a deletion event may have been missed."""
        for key in {*self._granted.values(), *self._failed} - set(keys):
            self.departed(key)

    async def run(self, requeue: Callable[[Key], None], is_gone: Callable[[str, Key], Awaitable[bool]]) -> None:
        """Sync with Redis until cancelled. `is_gone` returns whether the tenant of this UID was deleted."""
        while True:
            await asyncio.sleep(self._backoff_seconds or self._sync_seconds)
            try:
                await self.sync(requeue, is_gone)
            except RedisAclError as error:
                self._mark_unavailable(error)
            except ClusterError as error:
                log.warning("Redis users not compared with tenants", error=str(error))
            except Exception:
                log.exception("Redis user sync failed")

    async def sync(self, requeue: Callable[[Key], None], is_gone: Callable[[str, Key], Awaitable[bool]]) -> None:
        """Requeue tenants whose user Redis has lost, and remove users of deleted tenants. Raises RedisAclError."""
        operator = await self._operator()
        registered = await self._store.registered(operator)
        self._mark_available()
        lost = {key for uid, key in self._granted.items() if uid not in registered or not registered[uid].exists}
        for key in sorted(lost | self._failed):
            requeue(key)
        unknown = sorted(registered.keys() - self._granted.keys(), key=lambda uid: (uid <= self._last_checked, uid))
        checked = unknown[:MAX_CHECKS]
        self._last_checked = checked[-1] if checked else ""
        gone = [uid for uid in checked if await self._is_gone(uid, registered[uid].owner, is_gone)]
        # A reconcile may have granted a user while the cluster was read.
        if orphaned := [uid for uid in gone if uid not in self._granted]:
            await self._store.remove(operator, orphaned)
            log.info("Redis users removed", tenants=[registered[uid].owner for uid in orphaned])

    async def _is_gone(self, uid: str, owner: str, is_gone: Callable[[str, Key], Awaitable[bool]]) -> bool:
        key = Key(*owner.split("/", 1)) if "/" in owner else Key("", owner)
        try:
            return await is_gone(uid, key)
        except Refused:
            return False  # the operator may no longer read this namespace

    def _mark_unavailable(self, error: RedisAclError) -> Problem:
        self._backoff_seconds = min(self._backoff_seconds * 2 or FIRST_BACKOFF_SECONDS, self._sync_seconds)
        self._retry_at = self._clock.monotonic() + self._backoff_seconds
        rejected = isinstance(error, RedisRejected)
        reason = "RedisRefused" if rejected else "RedisUnavailable"
        state = "rejects the creation of users" if rejected else "is unavailable"
        if self._problem is None or self._problem.reason != reason:
            log.warning("Redis unavailable", reason=reason, error=str(error))
        effect = "until it recovers, each replica enforces its share of the limits"
        self._problem = Problem(reason, f"the operator's Redis {state}: {error}; {effect}")
        return self._problem

    def _mark_available(self) -> None:
        if self._problem is not None:
            log.info("Redis available again")
        self._problem, self._backoff_seconds = None, 0.0
