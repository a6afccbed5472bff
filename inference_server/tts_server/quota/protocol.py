"""Counting: requests reserve usage before they are served, and settle or return it when they end."""

from datetime import date
from typing import Protocol

from tts_server.quota.ledger import Charge, DayLedger, Entry
from tts_server.quota.limit_table import Limits
from tts_server.quota.limits import DayCounts, LimitStatus, Request
from tts_server.quota.recent_requests import UnsyncedRequest

LEASE_SECONDS = 30.0
"""A running request whose server has not renewed its lease for so long counts no more: the server is gone."""
RENEW_SECONDS = 10.0
"""Interval at which a server renews the leases of its running requests."""


class StoreUnavailable(Exception):  # noqa: N818 - it says what happened
    """The shared counters are unreachable or refuse writes. Never leaves this package."""


class Reservation(Protocol):
    """An admitted request. The first call of `settle` or `give_back` ends it; later calls do nothing."""

    @property
    def limit_status(self) -> LimitStatus:
        """The rest of each limit right after admission."""

    @property
    def day(self) -> int:
        """UTC day number of the admission, by the counting store's clock."""

    async def settle(self, entry: Entry) -> None:
        """Charge the usage: the audio that was sent replaces the estimate, and the entry is added to the ledger."""

    async def give_back(self) -> None:
        """Refund everything: the request was refused or failed, and nothing was sent."""


class Quota(Protocol):
    """Counts usage by tenant. A request is counted under all limits, or, if one refuses it, under none.

    A sliding window is exact: no 60 seconds see more requests than `requestsPerMinute`, refunded ones aside.
    `tenant` is its UID, so that a later tenant of the same name starts at zero.
    """

    async def reserve(self, tenant: str, limits: Limits, request: Request = ...) -> Reservation:
        """Count one request. Raises `QuotaExceeded`, and counts nothing then."""

    async def remaining(self, tenant: str, limits: Limits, client: str = ...) -> LimitStatus:
        """The rest of each limit."""

    async def ledger(self, tenant: str, day: date | None = ...) -> DayLedger:
        """The ledger of a UTC day, by default today by the counting store's clock."""


class LocalQuota(Quota, Protocol):
    """Counts in this process, which cannot become unavailable."""

    def day_counts(self, tenant: str) -> DayCounts:
        """Today's counters."""

    def continue_from(self, tenant: str, counts: DayCounts) -> None:
        """Replace today's counters by those of the shared store; counters of another day are ignored."""


class SharedQuota(Quota, Protocol):
    """Counts that all replicas share. A coroutine that raises `StoreUnavailable` may be called again."""

    def last_day_counts(self, tenant: str) -> DayCounts | None:
        """The day's counters in the latest reply of the store."""

    async def probe(self, tenant: str) -> None:
        """Check that the store can count a request of this tenant now."""

    async def maintain(self) -> None:
        """Renew leases and write lost ledger lines again. Must be called every `RENEW_SECONDS`."""

    def record_admitted(self, tenant: str, limits: Limits, request: Request) -> UnsyncedRequest:
        """Remember a request that was admitted without the store; `restore` writes it to the sliding windows."""

    async def undo(self, tenant: str, request: UnsyncedRequest) -> None:
        """Remove a refunded request from the sliding windows."""

    async def restore(self) -> None:
        """Write all requests that the sliding windows lack, at the times of their admission.

        Returns without yielding to the event loop after it has found none, so that none is admitted in between.
        """

    async def charge(self, tenant: str, charge: Charge) -> None:
        """Count usage that was not reserved. A charge that is sent twice counts once."""
