"""Counting: what a request reserves before it is served, and what becomes of that when it ends."""

from datetime import date
from typing import Protocol

from tts_server.quota.ledger import Charge, DayLedger, Entry
from tts_server.quota.limits import DayCounts, Limits, LimitStatus, Request
from tts_server.quota.recent_requests import UnsyncedRequest

LEASE_SECONDS = 30.0
"""How long a request runs on without a word from its server: then the server is gone, and the request with it."""
RENEW_SECONDS = 10.0


class StoreLost(Exception):  # noqa: N818 - it says what happened
    """The shared counters cannot be reached, or take no writes. Not seen outside of this package."""


class Reservation(Protocol):
    """A request that was let in. It ends by one of its two methods; whatever comes after the first does nothing."""

    @property
    def limit_status(self) -> LimitStatus:
        """What was left once it was let in."""

    @property
    def day(self) -> int:
        """The UTC day on which it was let in, since 1970-01-01, by the counting store's clock."""

    async def settle(self, entry: Entry) -> None:
        """It was served: the sound that was sent replaces the estimate, and the ledger has one entry more."""

    async def give_back(self) -> None:
        """Undo it: the request was refused or failed, and nothing was sent."""


class Quota(Protocol):
    """Counts by tenant. All limits are checked, then all is counted, or nothing.

    `requestsPerMinute` is exact: no 60 seconds see more requests that were kept. `tenant` is what no namesake shares.
    """

    async def reserve(self, tenant: str, limits: Limits, request: Request = ...) -> Reservation:
        """Count one request. Raises `QuotaExceeded`, and counts nothing then."""

    async def remaining(self, tenant: str, limits: Limits, client: str = ...) -> LimitStatus:
        """What is left of each limit now."""

    async def ledger(self, tenant: str, day: date | None = ...) -> DayLedger:
        """What was served on a UTC day; None is today, by the counting store's clock."""


class LocalQuota(Quota, Protocol):
    """Counts in this process, which never fail."""

    def counted(self, tenant: str) -> DayCounts:
        """Of today."""

    def continue_from(self, tenant: str, counts: DayCounts) -> None:
        """The day's counts become these, which were seen elsewhere."""


class SharedQuota(Quota, Protocol):
    """Counts that all replicas share. Every method may raise `StoreLost`; then it may be called again."""

    def seen(self, tenant: str) -> DayCounts | None:
        """The day's counts as they were when they were last seen."""

    async def probe(self, tenant: str) -> None:
        """Return when a request of this tenant could be counted now."""

    async def tend(self) -> None:
        """To call every `RENEW_SECONDS`: requests under way are still served; what the store lost is written again."""

    def let_in(self, tenant: str, limits: Limits, request: Request) -> UnsyncedRequest:
        """A request was let in without the store. Its limits of a minute hear of it by `restore`."""

    async def undo(self, tenant: str, one: UnsyncedRequest) -> None:
        """It was given back: the limits of a minute forget it."""

    async def restore(self) -> None:
        """Return once the limits of a minute count all that was let in here, at the times at which it was.

        Nothing is let in between the last look for more and the return.
        """

    async def charge(self, tenant: str, charge: Charge) -> None:
        """Count what was served without having been counted. The same charge twice is one."""
