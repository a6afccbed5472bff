"""`Quota` that all replicas share, in Redis or Valkey: one script for each step, see `quota_scripts`."""

import asyncio
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from tts_server.admission import quota_scripts as scripts
from tts_server.admission.ledger import LEDGER_DAYS, Book, Charge, DayLedger, Entry, Line, day_number, day_of
from tts_server.admission.limits import (
    MICROSECONDS,
    Counts,
    DayCounts,
    Limits,
    Request,
    Standing,
    Window,
    exceeded,
    standing,
)
from tts_server.admission.quota import LEASE_SECONDS, StoreLost

CALL_SECONDS = 0.25
"""For one step: a store that takes longer is lost."""
LEASE = int(LEASE_SECONDS * MICROSECONDS)
NOTHING = Request()

Lines = dict[tuple[int, Book], Line]
"""Day and book to what this replica has entered there."""


@dataclass(slots=True)
class _Tenant:
    """What this replica knows of a tenant's counters."""

    epoch: str = ""
    seen: DayCounts | None = None
    open: set[str] = field(default_factory=set)
    """Reservations of requests that are served here."""
    doubtful: "list[RedisReservation]" = field(default_factory=list)
    """Sent, but never answered: they may hold a place that nobody uses."""
    entered: Lines = field(default_factory=dict)
    """In the ledger of this epoch."""
    lost: list[Charge] = field(default_factory=list)
    """Was in the ledger of an earlier one, and must be written again."""

    past: set[str] = field(default_factory=set)
    """Epochs that are over: answers from then may still be on their way."""

    def learn(self, epoch: str) -> None:
        """Another epoch: what was entered is gone."""
        if epoch == self.epoch or epoch in self.past:
            return
        self.lost += [_lost(day, book, line) for (day, book), line in self.entered.items()]
        self.past.add(self.epoch)
        self.entered, self.epoch = {}, epoch

    def enter(self, epoch: str, day: int, book: Book, line: Line) -> None:
        """Remember what the ledger holds of this replica's."""
        if epoch != self.epoch:
            self.lost.append(_lost(day, book, line))
            return
        self.entered[day, book] = self.entered.get((day, book), Line()) + line
        for old in [key for key in self.entered if key[0] <= day - LEDGER_DAYS]:
            del self.entered[old]


def _lost(day: int, book: Book, line: Line) -> Charge:
    return Charge(uuid.uuid4().hex, day, book, line, is_counted=True)


@dataclass(slots=True)
class RedisReservation:
    """See `Reservation`. Both ends may be tried again after `StoreLost`."""

    quota: "RedisQuota"
    tenant: str
    id: str
    request: Request
    epoch: str = ""
    day: int = 0
    standing: Standing = field(default_factory=dict)

    @property
    def record(self) -> str:
        """As the scripts keep it."""
        return f"{self.day} {self.request.characters} {self.request.audio_microseconds}"

    async def settle(self, entry: Entry) -> None:
        """See `Reservation.settle`."""
        await self.quota.settle(self, entry)

    async def give_back(self) -> None:
        """See `Reservation.give_back`."""
        await self.quota.give_back(self)


class RedisQuota:
    """Counters of all replicas. Whatever Redis does, a step takes `CALL_SECONDS` at most, or raises `StoreLost`."""

    def __init__(self, client: "Redis", call_seconds: float = CALL_SECONDS) -> None:
        self._client = client
        self._call_seconds = call_seconds
        self._tenants: dict[str, _Tenant] = {}

    async def reserve(self, tenant: str, limits: Limits, request: Request = NOTHING) -> RedisReservation:
        """See `Quota.reserve`. Raises `StoreLost`."""
        known = self._known(tenant)
        reservation = RedisReservation(self, tenant, uuid.uuid4().hex, request)
        try:
            reply = await self._call(
                scripts.RESERVE,
                tenant,
                [_key(tenant, "minute"), _client_key(tenant, request.client)],
                [
                    reservation.id,
                    *("" if limit is None else limit for limit in _in_order(limits)),
                    request.characters,
                    request.audio_microseconds,
                    LEASE,
                    int(bool(request.client)),
                ],
            )
        except StoreLost:
            reservation.epoch = known.epoch
            known.doubtful.append(reservation)
            raise
        counts = self._read(known, reply[1:])
        if not int(reply[0]):
            refusal = exceeded(limits, request, counts)
            if refusal is None:
                raise StoreLost("the counters refuse what their own numbers allow")
            raise refusal
        known.open.add(reservation.id)
        reservation.epoch, reservation.day = known.epoch, counts.today.day
        reservation.standing = standing(limits, counts)
        return reservation

    async def remaining(self, tenant: str, limits: Limits, client: str = "") -> Standing:
        """See `Quota.remaining`. Raises `StoreLost`."""
        return standing(limits, await self._look(tenant, limits, client))

    async def ledger(self, tenant: str, day: date | None = None) -> DayLedger:
        """See `Quota.ledger`. Raises `StoreLost`."""
        if day is None:
            day = day_of((await self._look(tenant, Limits(), "")).today.day)
        key = _key(tenant, f"ledger:{day_number(day)}")
        fields = await self._guarded(lambda: self._client.hgetall(key))
        sums: dict[Book, dict[str, int]] = {}
        for name, value in fields.items():
            field_name, precision, model = _text(name).split(" ", 2)
            sums.setdefault((model, precision), {})[field_name] = int(value)
        return DayLedger(
            day,
            {
                book: Line(one["requests"], one["characters"], one["audio"], one["cached"], one["degraded"])
                for book, one in sorted(sums.items())
            },
        )

    def seen(self, tenant: str) -> DayCounts | None:
        """See `SharedQuota.seen`."""
        return self._known(tenant).seen

    async def probe(self, tenant: str) -> None:
        """See `SharedQuota.probe`: what it runs writes, so a store that is full or read-only does not pass."""
        await self._look(tenant, Limits(), "")

    async def tend(self) -> None:
        """See `SharedQuota.tend`."""
        for tenant, known in list(self._tenants.items()):
            if known.open:
                known.learn(_text(await self._call(scripts.RENEW, tenant, [], [LEASE, *sorted(known.open)])))
            while known.doubtful:
                await self.give_back(known.doubtful[0])
                known.doubtful.pop(0)
            while known.lost:
                await self.charge(tenant, known.lost[0])
                known.lost.pop(0)

    async def settle(self, reservation: RedisReservation, entry: Entry) -> None:
        """End a reservation: see `Reservation.settle`."""
        line = entry.line
        keys = [
            _key(reservation.tenant, f"ledger:{reservation.day}"),
            _key(reservation.tenant, f"done:{reservation.id}"),
        ]
        arguments = [
            reservation.id, reservation.epoch, reservation.record,
            line.audio_microseconds, _book_name(entry.book), line.cached, line.degraded,
            line.characters,
        ]  # fmt: skip
        known = self._known(reservation.tenant)
        known.learn(epoch := _text(await self._call(scripts.SETTLE, reservation.tenant, keys, arguments)))
        if reservation.id in known.open:
            known.open.remove(reservation.id)
            known.enter(epoch, reservation.day, entry.book, line)

    async def give_back(self, reservation: RedisReservation) -> None:
        """End a reservation: see `Reservation.give_back`."""
        tenant = reservation.tenant
        keys = [
            _key(tenant, "minute"),
            _key(tenant, f"done:{reservation.id}"),
            _client_key(tenant, reservation.request.client),
        ]
        arguments = [reservation.id, reservation.epoch, reservation.record]
        known = self._known(tenant)
        known.learn(_text(await self._call(scripts.GIVE_BACK, tenant, keys, arguments)))
        known.open.discard(reservation.id)

    async def charge(self, tenant: str, charge: Charge) -> None:
        """See `SharedQuota.charge`."""
        line = charge.line
        keys = [_key(tenant, f"ledger:{charge.day}"), _key(tenant, f"done:{charge.id}")]
        arguments = [
            charge.day, _book_name(charge.book), line.requests, line.characters, line.audio_microseconds,
            line.cached, line.degraded, int(charge.is_counted),
        ]  # fmt: skip
        known = self._known(tenant)
        known.learn(epoch := _text(await self._call(scripts.CHARGE, tenant, keys, arguments)))
        known.enter(epoch, charge.day, charge.book, line)

    async def _look(self, tenant: str, limits: Limits, client: str) -> Counts:
        keys = [_key(tenant, "minute"), _client_key(tenant, client)]
        asked = (limits.requests_per_minute, limits.client_requests_per_minute)
        arguments = ["" if limit is None else limit for limit in asked]
        reply = await self._call(scripts.LOOK, tenant, keys, arguments)
        return self._read(self._known(tenant), reply)

    def _read(self, known: _Tenant, reply: list[Any]) -> Counts:
        """What `counts` of the scripts says."""
        known.learn(_text(reply[0]))
        now, *numbers = (int(value) for value in reply[1:])
        minute, client, concurrent, today = numbers[0:4], numbers[4:8], numbers[8], numbers[9:13]
        counts = Counts(
            datetime.fromtimestamp(now / MICROSECONDS, UTC), _window(minute), _window(client), concurrent,
            DayCounts(*today),
        )  # fmt: skip
        known.seen = counts.today
        return counts

    def _known(self, tenant: str) -> _Tenant:
        return self._tenants.setdefault(tenant, _Tenant())

    async def _call(self, script: str, tenant: str, keys: list[str], arguments: list[Any]) -> Any:
        known = self._known(tenant)
        seen = known.seen or DayCounts()
        keys = [*(_key(tenant, name) for name in ("epoch", "day", "open", "leases", "lapsed")), *keys]
        arguments = [
            known.epoch, uuid.uuid4().hex, seen.day, seen.requests, seen.characters, seen.audio_microseconds,
            *arguments,
        ]  # fmt: skip
        digest = _digest(script)

        async def run() -> Any:
            try:
                return await self._client.evalsha(digest, len(keys), *keys, *arguments)
            except NoScriptError:  # a server that has started since, or another one
                return await self._client.eval(script, len(keys), *keys, *arguments)

        return await self._guarded(run)

    async def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(self._call_seconds):
                return await call()
        except (RedisError, OSError) as error:  # a TimeoutError is an OSError
            raise StoreLost(type(error).__name__) from error


def _key(tenant: str, name: str) -> str:
    return f"tts:{{{tenant}}}:quota:{name}"


def _client_key(tenant: str, client: str) -> str:
    """A digest: who calls is nobody's business who looks into the store."""
    return _key(tenant, f"client:{hashlib.sha256(client.encode()).hexdigest()[:32]}")


def _book_name(book: Book) -> str:
    model, precision = book
    return f"{precision} {model}"


def _in_order(limits: Limits) -> tuple[int | None, ...]:
    """As the script takes them."""
    return (
        limits.requests_per_minute,
        limits.client_requests_per_minute,
        limits.concurrent_requests,
        limits.requests_per_day,
        limits.characters_per_day,
        limits.audio_seconds_per_day,
    )


def _window(numbers: list[int]) -> Window:
    counted, *times = numbers
    return Window(counted, *(time / MICROSECONDS for time in times))


def _text(value: Any) -> str:
    """Whether or not the client decodes replies."""
    return value.decode() if isinstance(value, bytes) else str(value)


_DIGESTS: dict[str, str] = {}


def _digest(script: str) -> str:
    """By which Redis knows a script that it has seen."""
    if script not in _DIGESTS:
        _DIGESTS[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    return _DIGESTS[script]
