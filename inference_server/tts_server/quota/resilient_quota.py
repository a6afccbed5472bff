"""`Quota` that outlives its store: shared counts while they answer, this replica's own part while they do not.

answers     every request is counted in the shared store, and noted here: the last minute, and what of the day is used
lost        nobody waits for it: a request is counted here, against limit / replicas of what was left when it was lost
is back     what was let in and served meanwhile is written to it, then it counts again
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
from tts_server.quota.limits import WINDOW_SECONDS, DayCounts, Limits, LimitStatus, Request
from tts_server.quota.protocol import RENEW_SECONDS, LocalQuota, Reservation, SharedQuota, StoreLost
from tts_server.quota.recent_requests import UnsyncedRequest

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1
LOST = BreakerSettings(failures_to_open=1, open_seconds=0.1, longest_open_seconds=2.0)
"""Requests make no probes: each one is a look's, which has nobody wait for it, and may come soon."""
NOTHING = Request()
Step = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class GuardedReservation:
    """See `Reservation`: it ends here and, where it is known there, in the shared store."""

    guard: "GuardedQuota"
    tenant: str
    own: Reservation
    shared: Reservation | UnsyncedRequest
    """The latter where it was let in without the store."""
    ended: bool = False

    @property
    def limit_status(self) -> LimitStatus:
        """See `Reservation.standing`."""
        return (self.own if isinstance(self.shared, UnsyncedRequest) else self.shared).limit_status

    @property
    def day(self) -> int:
        """See `Reservation.day`."""
        return (self.own if isinstance(self.shared, UnsyncedRequest) else self.shared).day

    async def settle(self, entry: Entry) -> None:
        """See `Reservation.settle`."""
        if self.ended:
            return
        self.ended = True
        await self.own.settle(entry)
        if isinstance(self.shared, UnsyncedRequest):
            self.guard.owe(self.tenant, self.day, entry)
        else:
            await self.guard.deliver(partial(self.shared.settle, entry))

    async def give_back(self) -> None:
        """See `Reservation.give_back`."""
        if self.ended:
            return
        self.ended = True
        await self.own.give_back()
        await self.guard.give_back(self.tenant, self.shared)


class GuardedQuota:
    """Never raises `StoreLost`, and never waits for a store that is known to be lost. Somebody must `run` it."""

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
        self._breaker = Breaker(monotonic, LOST)
        self._tend_at = monotonic() + RENEW_SECONDS
        self._tenants: set[str] = set()
        self._owed: dict[tuple[str, int, LedgerKey], LedgerTotals] = {}
        """Served without the store, and not sent to it yet."""
        self._undelivered: list[Step] = []
        """Sent perhaps, but not answered: each may be sent again."""
        self._given_back: deque[tuple[str, UnsyncedRequest]] = deque()
        """Let in without the store, and given back: it may hear of both, as long as a request of then counts."""
        self._delivering: set[asyncio.Task[None]] = set()

    async def reserve(self, tenant: str, limits: Limits, request: Request = NOTHING) -> GuardedReservation:
        """See `Quota.reserve`."""
        self._tenants.add(tenant)
        if (permit := self._permit()) is not None:
            try:
                shared = await self._shared.reserve(tenant, limits, request)
            except StoreLost as error:
                self._lose(permit, error)
            except asyncio.CancelledError:
                self._tend_at = self._monotonic()  # whether it was counted, nobody knows
                raise
            else:
                own = await self._local.reserve(tenant, Limits(), request)
                seen = self._shared.seen(tenant)
                if seen is not None:
                    self._local.continue_from(tenant, seen)
                return GuardedReservation(self, tenant, own, shared)
        own = await self._local.reserve(tenant, self._part(tenant, limits), request)
        return GuardedReservation(self, tenant, own, self._shared.let_in(tenant, limits, request))

    async def remaining(self, tenant: str, limits: Limits, client: str = "") -> LimitStatus:
        """See `Quota.remaining`."""
        if (permit := self._permit()) is not None:
            try:
                return await self._shared.remaining(tenant, limits, client)
            except StoreLost as error:
                self._lose(permit, error)
        return await self._local.remaining(tenant, self._part(tenant, limits), client)

    async def ledger(self, tenant: str, day: date | None = None) -> DayLedger:
        """See `Quota.ledger`; without the store, what this replica served."""
        if (permit := self._permit()) is not None:
            try:
                return await self._shared.ledger(tenant, day)
            except StoreLost as error:
                self._lose(permit, error)
        return replace(await self._local.ledger(tenant, day), is_complete=False)

    async def run(self) -> None:
        """Look after the store until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("quota store cannot be looked after")
            await asyncio.sleep(LOOK_SECONDS)

    def notify(self, subscriber: Callable[[bool], None]) -> None:
        """Whether the store answers: now, and whenever that changes."""
        self._notify = subscriber
        subscriber(self._answers)

    async def look(self) -> None:
        """One round: try a lost store once its time has come; bring to one that answers what it must know."""
        permit = self._breaker.permit()
        if permit is None:
            return
        try:
            if permit.probe:
                for tenant in sorted(self._tenants):
                    await self._shared.probe(tenant)
                self._tend_at = self._monotonic()
            await self._bring()
            if self._monotonic() >= self._tend_at:
                await self._shared.tend()
                self._tend_at = self._monotonic() + RENEW_SECONDS
            await self._shared.restore()  # last: from here on nobody is let in without it
        except StoreLost as error:
            self._lose(permit, error)
            return
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        self._breaker.succeeded(permit)
        if permit.probe:
            self._notify(True)
            log.info("quota store is back")

    async def close(self) -> None:
        """Bring what is owed to a store that answers: nothing is served after this."""
        if self._delivering:
            await asyncio.wait(self._delivering)
        try:
            await self._bring()
            await self._shared.restore()
        except StoreLost as error:
            log.warning("quota store is lost: it will never know all that was served", error=str(error))

    def owe(self, tenant: str, day: int, entry: Entry) -> None:
        """What was served without the store is brought to it by the next look that finds it."""
        key = (tenant, day, entry.book)
        self._owed[key] = self._owed.get(key, LedgerTotals()) + entry.line

    async def give_back(self, tenant: str, shared: Reservation | UnsyncedRequest) -> None:
        """Undo in the store what it counted, or will count."""
        if not isinstance(shared, UnsyncedRequest):
            await self.deliver(shared.give_back)
            return
        while self._given_back and self._given_back[0][1].moment <= self._monotonic() - WINDOW_SECONDS:
            self._given_back.popleft()
        self._given_back.append((tenant, shared))
        if self._answers:
            await self.deliver(self._take_back)

    async def deliver(self, step: Step) -> None:
        """Take a step in the store, now or when it is back; a caller that is cancelled does not undo it."""
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
        except StoreLost as error:
            self._undelivered.append(step)
            self._lose(permit, error)

    async def _bring(self) -> None:
        while self._owed:
            (tenant, day, book), line = self._owed.popitem()
            charge = Charge(uuid.uuid4().hex, day, book, line)  # from here on the same one, however often it is sent
            self._undelivered.append(partial(self._shared.charge, tenant, charge))
        while self._undelivered:
            await self._undelivered[0]()
            self._undelivered.pop(0)
        await self._take_back()

    async def _take_back(self) -> None:
        while self._given_back:
            one = self._given_back.popleft()
            try:
                await self._shared.undo(*one)
            except BaseException:
                self._given_back.appendleft(one)
                raise

    def _part(self, tenant: str, limits: Limits) -> Limits:
        """What this replica gives out alone."""
        today = self._local.counted(tenant).day
        seen = self._shared.seen(tenant)
        used = seen if seen is not None and seen.day == today else DayCounts(today)
        return limits.rest_shared_by(limits.replicas, used)

    @property
    def _answers(self) -> bool:
        """Whether the last that was heard of the store was good."""
        return self._breaker.state is State.CLOSED

    def _permit(self) -> Permit | None:
        """For a request to ask the store; never for a probe."""
        return self._breaker.permit() if self._answers else None

    def _lose(self, permit: Permit, error: StoreLost) -> None:
        if self._breaker.failed(permit) and not permit.probe:
            self._notify(False)
            log.warning("quota store is lost: this replica counts alone", error=str(error))
