"""`Quota` in this process: sliding logs and sums. A log holds one number per request of its window."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count, islice

from tts_server.quota.ledger import LEDGER_DAYS, DayLedger, Entry, LedgerKey, LedgerTotals, day_number, day_of
from tts_server.quota.limit_table import SLIDING, Limit, Limits, Scope
from tts_server.quota.limits import EMPTY, Counts, DayCounts, LimitStatus, Request, WindowCounts, exceeded, limit_status

NOTHING = Request()
Log = OrderedDict[int, float]
"""A request's number to the moment of its admission, oldest first."""


class _Logs:
    """The logs of the sliding limits of one scope."""

    def __init__(self, scope: Scope) -> None:
        self._logs: dict[Limit, Log] = {limit: OrderedDict() for limit in SLIDING if limit.scope is scope}

    def __bool__(self) -> bool:
        return any(self._logs.values())

    def add(self, number: int, moment: float) -> None:
        for log in self._logs.values():
            log[number] = moment

    def remove(self, number: int) -> None:
        for log in self._logs.values():
            log.pop(number, None)

    def forget(self, moment: float) -> None:
        """Drop the requests that have left their window."""
        for limit, log in self._logs.items():
            while log and next(iter(log.values())) <= moment - limit.window.seconds:
                log.popitem(last=False)

    def counts(self, limits: Limits, moment: float) -> dict[Limit, WindowCounts]:
        return {
            limit: _window_counts(log, limits.allowed(limit), limit.window.seconds - moment)
            for limit, log in self._logs.items()
        }


@dataclass(slots=True)
class _Tenant:
    """The counters of one tenant."""

    logs: _Logs = field(default_factory=lambda: _Logs(Scope.TENANT))
    clients: OrderedDict[str, _Logs] = field(default_factory=OrderedDict)
    """By client, the most recent request last."""
    running: set[int] = field(default_factory=set)
    today: DayCounts = field(default_factory=DayCounts)
    other_day: DayCounts = field(default_factory=DayCounts)
    """The day before that one, to which a clock may be set back."""
    ledgers: dict[int, dict[LedgerKey, LedgerTotals]] = field(default_factory=dict)
    """By UTC day number."""

    def add(self, day: int, requests: int, characters: int, audio_microseconds: int) -> None:
        """Change the counters of either day; amounts of another one are ignored."""
        counts = self.today if self.today.day == day else self.other_day
        if counts.day != day:
            return
        changed = DayCounts(
            day,
            max(0, counts.requests + requests),
            max(0, counts.characters + characters),
            max(0, counts.audio_microseconds + audio_microseconds),
        )
        if counts is self.today:
            self.today = changed
        else:
            self.other_day = changed

    def begin(self, day: int) -> None:
        """Continue the counters of a day that the clock has come to, or come back to."""
        found = self.other_day if self.other_day.day == day else DayCounts(day)
        self.today, self.other_day = found, self.today

    def client_logs(self, client: str) -> _Logs:
        """The client's logs, which are made if it has none."""
        if client not in self.clients:
            self.clients[client] = _Logs(Scope.CLIENT)
        self.clients.move_to_end(client)
        return self.clients[client]

    def forget(self, moment: float) -> None:
        """Drop the requests that have left their window, and the clients that have no other ones."""
        self.logs.forget(moment)
        while self.clients:
            longest_idle = next(iter(self.clients))
            self.clients[longest_idle].forget(moment)
            if self.clients[longest_idle]:
                break
            del self.clients[longest_idle]


@dataclass(slots=True)
class MemoryReservation:
    """A `Reservation` of `MemoryQuota`."""

    tenant: _Tenant
    number: int
    request: Request
    day: int
    limit_status: LimitStatus

    async def settle(self, entry: Entry) -> None:
        if not self._end():
            return
        totals = entry.totals
        self.tenant.add(self.day, 0, 0, totals.audio_microseconds - self.request.audio_microseconds)
        ledger = self.tenant.ledgers.setdefault(self.day, {})
        ledger[entry.key] = ledger.get(entry.key, LedgerTotals()) + totals

    async def give_back(self) -> None:
        if not self._end():
            return
        self.tenant.add(self.day, -1, -self.request.characters, -self.request.audio_microseconds)
        self.tenant.logs.remove(self.number)
        if (client := self.tenant.clients.get(self.request.client)) is not None:
            client.remove(self.number)

    def _end(self) -> bool:
        """Whether this call ends the reservation: only the first one does."""
        if self.number not in self.tenant.running:
            return False
        self.tenant.running.remove(self.number)
        return True


class MemoryQuota:
    """Counts that no other replica sees, so it enforces its share of limits that several replicas enforce."""

    def __init__(self, monotonic: Callable[[], float], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._monotonic = monotonic
        self._now = now
        self._tenants: defaultdict[str, _Tenant] = defaultdict(_Tenant)
        self._numbers = count(1)

    async def reserve(self, tenant: str, limits: Limits, request: Request = NOTHING) -> MemoryReservation:
        moment, counters, limits = self._monotonic(), self._counters(tenant), limits.share
        if limits.items:
            refusal = exceeded(limits, request, self._counts(counters, limits, request.client, moment))
            if refusal is not None:
                raise refusal
        counters.forget(moment)
        number = next(self._numbers)
        counters.logs.add(number, moment)
        if request.client:
            logs = counters.client_logs(request.client)
            logs.forget(moment)
            logs.add(number, moment)
        counters.running.add(number)
        day = counters.today.day
        counters.add(day, 1, request.characters, request.audio_microseconds)
        status: LimitStatus = {}
        if limits.items:
            status = limit_status(limits, self._counts(counters, limits, request.client, moment))
        return MemoryReservation(counters, number, request, day, status)

    async def remaining(self, tenant: str, limits: Limits, client: str = "") -> LimitStatus:
        limits = limits.share
        return limit_status(limits, self._counts(self._counters(tenant), limits, client, self._monotonic()))

    async def ledger(self, tenant: str, day: date | None = None) -> DayLedger:
        counters = self._counters(tenant)
        day = day_of(counters.today.day) if day is None else day
        return DayLedger(day, dict(counters.ledgers.get(day_number(day), {})))

    def day_counts(self, tenant: str) -> DayCounts:
        return self._counters(tenant).today

    def continue_from(self, tenant: str, counts: DayCounts) -> None:
        counters = self._counters(tenant)
        if counters.today.day == counts.day:
            counters.today = counts

    def _counters(self, name: str) -> _Tenant:
        """The tenant's counters, which restart with each UTC day."""
        tenant = self._tenants[name]
        today = day_number(self._now().astimezone(UTC).date())
        if tenant.today.day != today:
            tenant.begin(today)
            for day in [day for day in tenant.ledgers if day <= today - LEDGER_DAYS]:
                del tenant.ledgers[day]
        return tenant

    def _counts(self, tenant: _Tenant, limits: Limits, client: str, moment: float) -> Counts:
        tenant.forget(moment)
        windows = tenant.logs.counts(limits, moment)
        if (logs := tenant.clients.get(client)) is not None:
            logs.forget(moment)
            windows |= logs.counts(limits, moment)
        return Counts(self._now().astimezone(UTC), windows, len(tenant.running), tenant.today)


def _window_counts(log: Log, allowed: int | None, until: float) -> WindowCounts:
    """`until` plus the moment of a request is the time until it leaves the window."""
    if not log:
        return EMPTY
    moments = log.values()
    frees = 0.0
    if allowed is not None and len(log) >= allowed:
        # After a limit was lowered the log holds more than it allows: the surplus must leave the window first.
        frees = next(islice(moments, len(log) - allowed, None)) + until
    return WindowCounts(len(log), next(iter(moments)) + until, frees, next(reversed(moments)) + until)
