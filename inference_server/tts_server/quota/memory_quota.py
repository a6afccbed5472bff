"""`Quota` in this process: sliding logs and sums. It keeps one number per request of the last minute."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count, islice

import structlog

from tts_server.quota.ledger import LEDGER_DAYS, DayLedger, Entry, LedgerKey, LedgerTotals, day_number, day_of
from tts_server.quota.limits import (
    WINDOW_SECONDS,
    Counts,
    DayCounts,
    Limits,
    LimitStatus,
    Request,
    Window,
    exceeded,
    limit_status,
)

log = structlog.get_logger(__name__)

NOTHING = Request()
Log = OrderedDict[int, float]
"""A request's number to when it was let in, the oldest first."""


@dataclass(slots=True)
class _Tenant:
    """Its counts."""

    minute: Log = field(default_factory=OrderedDict)
    clients: OrderedDict[str, Log] = field(default_factory=OrderedDict)
    """The one that asked last comes last."""
    running: set[int] = field(default_factory=set)
    today: DayCounts = field(default_factory=DayCounts)
    ledgers: dict[int, dict[LedgerKey, LedgerTotals]] = field(default_factory=dict)
    """By day, since 1970-01-01."""

    def add(self, day: int, requests: int, characters: int, audio_microseconds: int) -> None:
        """To the day's counts, or from them; of a day that is over nothing is counted any more."""
        now = self.today
        if now.day == day:
            self.today = DayCounts(
                day,
                max(0, now.requests + requests),
                max(0, now.characters + characters),
                max(0, now.audio_microseconds + audio_microseconds),
            )


@dataclass(slots=True)
class MemoryReservation:
    """See `Reservation`."""

    tenant: _Tenant
    number: int
    request: Request
    day: int
    limit_status: LimitStatus

    async def settle(self, entry: Entry) -> None:
        """See `Reservation.settle`."""
        if not self._ends():
            return
        line = entry.line
        self.tenant.add(self.day, 0, 0, line.audio_microseconds - self.request.audio_microseconds)
        ledger = self.tenant.ledgers.setdefault(self.day, {})
        ledger[entry.book] = ledger.get(entry.book, LedgerTotals()) + line

    async def give_back(self) -> None:
        """See `Reservation.give_back`."""
        if not self._ends():
            return
        self.tenant.add(self.day, -1, -self.request.characters, -self.request.audio_microseconds)
        self.tenant.minute.pop(self.number, None)
        self.tenant.clients.get(self.request.client, OrderedDict()).pop(self.number, None)

    def _ends(self) -> bool:
        if self.number not in self.tenant.running:
            return False
        self.tenant.running.remove(self.number)
        return True


class MemoryQuota:
    """Counts that nobody else sees: of limits that several replicas give out, it gives out its part."""

    def __init__(self, monotonic: Callable[[], float], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._monotonic = monotonic
        self._now = now
        self._tenants: dict[str, _Tenant] = {}
        self._numbers = count(1)

    async def reserve(self, tenant: str, limits: Limits, request: Request = NOTHING) -> MemoryReservation:
        """See `Quota.reserve`."""
        moment, known, limits = self._monotonic(), self._known(tenant), limits.part
        counts = self._counts(known, limits, request.client, moment)
        refusal = exceeded(limits, request, counts)
        if refusal is not None:
            raise refusal
        number = next(self._numbers)
        known.minute[number] = moment
        if request.client:
            known.clients.setdefault(request.client, OrderedDict())[number] = moment
            known.clients.move_to_end(request.client)
        known.running.add(number)
        known.add(known.today.day, 1, request.characters, request.audio_microseconds)
        left = {} if limits.unlimited else limit_status(limits, self._counts(known, limits, request.client, moment))
        return MemoryReservation(known, number, request, known.today.day, left)

    async def remaining(self, tenant: str, limits: Limits, client: str = "") -> LimitStatus:
        """See `Quota.remaining`."""
        limits = limits.part
        return limit_status(limits, self._counts(self._known(tenant), limits, client, self._monotonic()))

    async def ledger(self, tenant: str, day: date | None = None) -> DayLedger:
        """See `Quota.ledger`."""
        known = self._known(tenant)
        day = day_of(known.today.day) if day is None else day
        return DayLedger(day, dict(known.ledgers.get(day_number(day), {})))

    def counted(self, tenant: str) -> DayCounts:
        """See `LocalQuota.counted`."""
        return self._known(tenant).today

    def continue_from(self, tenant: str, counts: DayCounts) -> None:
        """See `LocalQuota.continue_from`."""
        known = self._known(tenant)
        if known.today.day == counts.day:
            known.today = counts

    def _known(self, name: str) -> _Tenant:
        """The tenant's counts, on the day that it is."""
        tenant = self._tenants.setdefault(name, _Tenant())
        today = day_number(self._now().astimezone(UTC).date())
        if tenant.today.day != today:
            tenant.today = DayCounts(today)
            for day in [day for day in tenant.ledgers if day <= today - LEDGER_DAYS]:
                del tenant.ledgers[day]
        return tenant

    def _counts(self, tenant: _Tenant, limits: Limits, client: str, moment: float) -> Counts:
        _forget(tenant.minute, moment)
        while tenant.clients:
            longest_silent = next(iter(tenant.clients))
            _forget(tenant.clients[longest_silent], moment)
            if tenant.clients[longest_silent]:
                break
            del tenant.clients[longest_silent]
        one = tenant.clients.get(client, OrderedDict())
        _forget(one, moment)
        return Counts(
            self._now().astimezone(UTC),
            _window(tenant.minute, limits.requests_per_minute, moment),
            _window(one, limits.client_requests_per_minute, moment),
            len(tenant.running),
            tenant.today,
        )


def _forget(log: Log, moment: float) -> None:
    """Requests that are a minute old."""
    while log and next(iter(log.values())) <= moment - WINDOW_SECONDS:
        log.popitem(last=False)


def _window(log: Log, limit: int | None, moment: float) -> Window:
    if not log:
        return Window()
    times = log.values()
    until = WINDOW_SECONDS - moment
    frees = 0.0
    if limit is not None and len(log) >= limit:
        # A limit that was lowered leaves more in the log than it allows: that many must be forgotten first.
        frees = next(islice(times, len(log) - limit, None)) + until
    return Window(len(log), next(iter(times)) + until, frees, next(reversed(times)) + until)
