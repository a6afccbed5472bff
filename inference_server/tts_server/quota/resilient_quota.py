"""`Quota` that survives the loss of its store: shared counts while the store answers, local counts while it does not.

available    every request is counted in the shared store, and noted locally: recent requests, and the day's counters
unavailable  no request waits for the store: it is counted locally, against limit / replicas of what was left before
recovered    requests that were admitted and served meanwhile are written to the store, then it counts again
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import structlog

from tts_server.circuit_breaker import Breaker, BreakerSettings, Permit, State
from tts_server.quota.ledger import Charge, DayLedger, Entry, LedgerKey, LedgerTotals
from tts_server.quota.limit_table import Limits
from tts_server.quota.limits import DayCounts, LimitStatus, Request, share_of_rest
from tts_server.quota.protocol import RENEW_SECONDS, LocalQuota, Reservation, SharedQuota, StoreUnavailable
from tts_server.quota.recent_requests import UnsyncedRequest

log = structlog.get_logger(__name__)

SYNC_SECONDS = 0.1
"""Interval of `ResilientQuota.sync`."""
BREAKER = BreakerSettings(failures_to_open=1, open_seconds=0.1, longest_open_seconds=2.0)
"""Requests never probe: only `sync` does, which no caller waits for, so probes may follow each other soon."""
NOTHING = Request()
UNLIMITED = Limits()
Step = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class ResilientReservation:
    """A `Reservation` of `ResilientQuota`: it ends locally and, if the shared store counts it, there."""

    quota: "ResilientQuota"
    tenant: str
    local: Reservation
    shared: Reservation | UnsyncedRequest
    """An `UnsyncedRequest` if it was admitted without the store."""
    ended: bool = False

    @property
    def limit_status(self) -> LimitStatus:
        return (self.local if isinstance(self.shared, UnsyncedRequest) else self.shared).limit_status

    @property
    def day(self) -> int:
        return (self.local if isinstance(self.shared, UnsyncedRequest) else self.shared).day

    async def settle(self, entry: Entry) -> None:
        if self.ended:
            return
        self.ended = True
        await self.local.settle(entry)
        if isinstance(self.shared, UnsyncedRequest):
            self.quota.charge_later(self.tenant, self.day, entry)
        else:
            await self.quota.deliver(partial(self.shared.settle, entry))

    async def give_back(self) -> None:
        if self.ended:
            return
        self.ended = True
        await self.local.give_back()
        await self.quota.give_back(self.tenant, self.shared)


class ResilientQuota:
    """Never raises `StoreUnavailable`, and never waits for a store that is known to be unavailable.

    A task must `run` it.
    """

    def __init__(
        self,
        shared: SharedQuota,
        local: LocalQuota,
        monotonic: Callable[[], float],
    ) -> None:
        self._shared = shared
        self._local = local
        self._monotonic = monotonic
        self._notify: Callable[[bool], None] = lambda _: None
        self._breaker = Breaker(monotonic, BREAKER)
        self._maintain_at = monotonic() + RENEW_SECONDS
        self._tenants: set[str] = set()
        self._uncharged: dict[tuple[str, int, LedgerKey], LedgerTotals] = {}
        """Usage that was served without the store and has not been sent to it."""
        self._undelivered: list[Step] = []
        """Steps without a reply. They may have been executed, and may be repeated."""
        self._refunded: deque[tuple[str, UnsyncedRequest]] = deque()
        """Requests that were admitted without the store and refunded, while a sliding window may count them."""
        self._delivering: set[asyncio.Task[None]] = set()

    async def reserve(self, tenant: str, limits: Limits, request: Request = NOTHING) -> ResilientReservation:
        self._tenants.add(tenant)
        if (permit := self._permit()) is not None:
            try:
                shared = await self._shared.reserve(tenant, limits, request)
            except StoreUnavailable as error:
                self._mark_unavailable(permit, error)
            except asyncio.CancelledError:
                self._maintain_at = self._monotonic()  # it may have been counted: `maintain` gives it back
                raise
            else:
                local = await self._local.reserve(tenant, UNLIMITED, request)
                counts = self._shared.last_day_counts(tenant)
                if counts is not None:
                    self._local.continue_from(tenant, counts)
                return ResilientReservation(self, tenant, local, shared)
        local = await self._local.reserve(tenant, self._local_limits(tenant, limits), request)
        return ResilientReservation(self, tenant, local, self._shared.record_admitted(tenant, limits, request))

    async def remaining(self, tenant: str, limits: Limits, client: str = "") -> LimitStatus:
        if (permit := self._permit()) is not None:
            try:
                return await self._shared.remaining(tenant, limits, client)
            except StoreUnavailable as error:
                self._mark_unavailable(permit, error)
        return await self._local.remaining(tenant, self._local_limits(tenant, limits), client)

    async def ledger(self, tenant: str, day: date | None = None) -> DayLedger:
        if (permit := self._permit()) is not None:
            try:
                return await self._shared.ledger(tenant, day)
            except StoreUnavailable as error:
                self._mark_unavailable(permit, error)
        return replace(await self._local.ledger(tenant, day), is_complete=False)

    async def run(self) -> None:
        """Synchronize with the store until cancelled."""
        while True:
            try:
                await self.sync()
            except Exception:
                log.exception("quota sync task failed")
            await asyncio.sleep(SYNC_SECONDS)

    def notify(self, subscriber: Callable[[bool], None]) -> None:
        """Subscribe to the store's availability. `subscriber` is called once immediately, then at each change."""
        self._notify = subscriber
        subscriber(self._is_available)

    async def sync(self) -> None:
        """Run one round: probe an unavailable store when that is due, and write to an available one what it lacks."""
        permit = self._breaker.permit()
        if permit is None:
            return
        try:
            if permit.probe:
                for tenant in sorted(self._tenants):
                    await self._shared.probe(tenant)
                self._maintain_at = self._monotonic()
            await self._flush()
            if self._monotonic() >= self._maintain_at:
                await self._shared.maintain()
                self._maintain_at = self._monotonic() + RENEW_SECONDS
            await self._shared.restore()  # last: no request is admitted without the store between this and the return
        except StoreUnavailable as error:
            self._mark_unavailable(permit, error)
            return
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        self._breaker.succeeded(permit)
        if permit.probe:
            self._notify(True)
            log.info("quota store available again")

    async def close(self) -> None:
        """Write the rest to the store. No request may be served after this."""
        if self._delivering:
            await asyncio.wait(self._delivering)
        try:
            await self._flush()
            await self._shared.restore()
        except StoreUnavailable as error:
            log.warning("quota store unavailable; dropped usage records", error=str(error))

    def charge_later(self, tenant: str, day: int, entry: Entry) -> None:
        """Queue usage that was served without the store; the next `sync` that reaches the store writes it."""
        key = (tenant, day, entry.key)
        self._uncharged[key] = self._uncharged.get(key, LedgerTotals()) + entry.totals

    async def give_back(self, tenant: str, shared: Reservation | UnsyncedRequest) -> None:
        """Refund in the store a request that it counts, or that `restore` will write to it."""
        if not isinstance(shared, UnsyncedRequest):
            await self.deliver(shared.give_back)
            return
        while self._refunded and self._refunded[0][1].is_over(self._monotonic()):
            self._refunded.popleft()
        self._refunded.append((tenant, shared))
        if self._is_available:
            await self.deliver(self._undo_refunded)

    async def deliver(self, step: Step) -> None:
        """Execute a step in the store now, or after its recovery. Cancelling the caller does not cancel the step."""
        permit = self._permit()
        if permit is None:
            self._undelivered.append(step)
            return
        task = asyncio.create_task(self._deliver(step, permit))
        self._delivering.add(task)
        task.add_done_callback(self._delivering.discard)
        await asyncio.shield(task)

    async def _deliver(self, step: Step, permit: Permit) -> None:
        try:
            await step()
        except StoreUnavailable as error:
            self._undelivered.append(step)
            self._mark_unavailable(permit, error)

    async def _flush(self) -> None:
        while self._uncharged:
            (tenant, day, key), totals = self._uncharged.popitem()
            charge = Charge(uuid.uuid4().hex, day, key, totals)  # its id stays, however often it is sent
            self._undelivered.append(partial(self._shared.charge, tenant, charge))
        while self._undelivered:
            await self._undelivered[0]()
            self._undelivered.pop(0)
        await self._undo_refunded()

    async def _undo_refunded(self) -> None:
        while self._refunded:
            refunded = self._refunded.popleft()
            try:
                await self._shared.undo(*refunded)
            except BaseException:
                self._refunded.appendleft(refunded)
                raise

    def _local_limits(self, tenant: str, limits: Limits) -> Limits:
        """This replica's share of the limits while the store is unavailable."""
        today = self._local.day_counts(tenant).day
        last = self._shared.last_day_counts(tenant)
        used = last if last is not None and last.day == today else DayCounts(today)
        return share_of_rest(limits, limits.replicas, used)

    @property
    def _is_available(self) -> bool:
        """Whether the latest call to the store succeeded."""
        return self._breaker.state is State.CLOSED

    def _permit(self) -> Permit | None:
        """Breaker permit for a normal call (not for the half-open probe)."""
        return self._breaker.permit() if self._is_available else None

    def _mark_unavailable(self, permit: Permit, error: StoreUnavailable) -> None:
        if self._breaker.failed(permit) and not permit.probe:
            self._notify(False)
            log.warning("quota store unavailable; using local limits", error=str(error))
