"""`Quota` that all replicas share, in Redis or Valkey: one script for each step, see `quota_scripts`."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from tts_server.quota import redis_scripts as scripts
from tts_server.quota.ledger import Charge, DayLedger, Entry, LedgerKey, LedgerTotals, day_number, day_of
from tts_server.quota.limits import (
    MICROSECONDS,
    Counts,
    DayCounts,
    Limits,
    LimitStatus,
    Request,
    exceeded,
    limit_status,
)
from tts_server.quota.protocol import LEASE_SECONDS, StoreLost
from tts_server.quota.recent_requests import UnsyncedRequest, let_in
from tts_server.quota.redis_calls import RedisCalls, text
from tts_server.quota.redis_codec import book_name, client_key, in_order, key, let_in_words, window
from tts_server.quota.replica_view import LastKnownCounts
from tts_server.redis.client import RedisClient

CALL_SECONDS = 0.25
"""For one step: a store that takes longer is lost."""
LEASE = int(LEASE_SECONDS * MICROSECONDS)
RESTORED_AT_ONCE = 500
"""Requests in one step: Redis serves nobody else meanwhile, for about a millisecond."""
NOTHING = Request()


@dataclass(slots=True)
class RedisReservation:
    """See `Reservation`. Both ends may be tried again after `StoreLost`."""

    quota: "RedisQuota"
    tenant: str
    id: str
    request: Request
    epoch: str = ""
    day: int = 0
    limit_status: LimitStatus = field(default_factory=dict)
    is_ending: bool = False
    """Its end was sent before, and may have arrived."""

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

    def __init__(
        self,
        client: RedisClient,
        call_seconds: float = CALL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._calls = RedisCalls(client, call_seconds)
        self._tenants: dict[str, LastKnownCounts] = {}
        self._doubtful: list[RedisReservation] = []
        """Sent, but never answered: they may hold a place that nobody uses."""

    async def reserve(self, tenant: str, limits: Limits, request: Request = NOTHING) -> RedisReservation:
        """See `Quota.reserve`. Raises `StoreLost`."""
        known = self._known(tenant)
        reservation = RedisReservation(self, tenant, uuid.uuid4().hex, request)
        try:
            reply = await self._call(
                scripts.RESERVE,
                tenant,
                [key(tenant, "minute"), client_key(tenant, request.client)],
                [
                    reservation.id,
                    *("" if limit is None else limit for limit in in_order(limits)),
                    request.characters,
                    request.audio_microseconds,
                    LEASE,
                    int(bool(request.client)),
                ],
            )
        except (StoreLost, asyncio.CancelledError):
            reservation.epoch = known.epoch
            self._doubtful.append(reservation)
            raise
        counts = self._read(known, reply[1:])
        if not int(reply[0]):
            refusal = exceeded(limits, request, counts)
            if refusal is None:
                raise StoreLost("the counters refuse what their own numbers allow")
            raise refusal
        known.open.add(reservation.id)
        known.recent.add(let_in(reservation.id, self._monotonic(), limits, request), written=True)
        reservation.epoch, reservation.day = text(reply[1]), counts.today.day
        reservation.limit_status = limit_status(limits, counts)
        return reservation

    async def remaining(self, tenant: str, limits: Limits, client: str = "") -> LimitStatus:
        """See `Quota.remaining`. Raises `StoreLost`."""
        return limit_status(limits, await self._look(tenant, limits, client))

    async def ledger(self, tenant: str, day: date | None = None) -> DayLedger:
        """See `Quota.ledger`. Raises `StoreLost`."""
        if day is None:
            day = day_of((await self._look(tenant, Limits(), "")).today.day)
        ledger = key(tenant, f"ledger:{day_number(day)}")
        sums: dict[LedgerKey, dict[str, int]] = {}
        for name, value in (await self._calls.fields(ledger)).items():
            field_name, precision, model = name.split(" ", 2)
            sums.setdefault((model, precision), {})[field_name] = int(value)
        return DayLedger(
            day,
            {
                book: LedgerTotals(one["requests"], one["characters"], one["audio"], one["cached"], one["degraded"])
                for book, one in sorted(sums.items())
            },
        )

    def seen(self, tenant: str) -> DayCounts | None:
        """See `SharedQuota.seen`."""
        return self._known(tenant).seen

    async def probe(self, tenant: str) -> None:
        """See `SharedQuota.probe`: what it runs writes, so a store that is full or read-only does not pass."""
        await self._look(tenant, Limits(), "")
        self._known(
            tenant
        ).recent.mark_unreachable()  # who takes over for a server that is lost may lack its last second

    async def tend(self) -> None:
        """See `SharedQuota.tend`."""
        while self._doubtful:
            await self.give_back(self._doubtful[0])
            self._doubtful.pop(0)
        for tenant, known in list(self._tenants.items()):
            if known.open:
                await self._step(scripts.RENEW, tenant, [], [LEASE, *sorted(known.open)])
            while known.lost:
                await self.charge(tenant, known.lost[0])
                known.lost.pop(0)

    async def settle(self, reservation: RedisReservation, entry: Entry) -> None:
        """End a reservation: see `Reservation.settle`."""
        line = entry.line
        keys = [
            key(reservation.tenant, f"ledger:{reservation.day}"),
            key(reservation.tenant, f"done:{reservation.id}"),
        ]
        arguments = [
            reservation.id, reservation.epoch, reservation.record,
            line.audio_microseconds, book_name(entry.book), line.cached, line.degraded,
            line.characters, int(reservation.is_ending),
        ]  # fmt: skip
        reservation.is_ending = True
        known = self._known(reservation.tenant)
        epoch = await self._step(scripts.SETTLE, reservation.tenant, keys, arguments)
        if reservation.id in known.open:
            known.open.remove(reservation.id)
            known.enter(epoch, reservation.day, entry.book, line)

    async def give_back(self, reservation: RedisReservation) -> None:
        """End a reservation: see `Reservation.give_back`."""
        tenant = reservation.tenant
        keys = [
            key(tenant, "minute"),
            key(tenant, f"done:{reservation.id}"),
            client_key(tenant, reservation.request.client),
        ]
        arguments = [reservation.id, reservation.epoch, reservation.record]
        reservation.is_ending = True
        known = self._known(tenant)
        known.recent.drop(reservation.id)
        await self._step(scripts.GIVE_BACK, tenant, keys, arguments)
        known.open.discard(reservation.id)

    def let_in(self, tenant: str, limits: Limits, request: Request) -> UnsyncedRequest:
        """See `SharedQuota.let_in`."""
        one = let_in(uuid.uuid4().hex, self._monotonic(), limits, request)
        self._known(tenant).recent.add(one, written=False)
        return one

    async def undo(self, tenant: str, one: UnsyncedRequest) -> None:
        """See `SharedQuota.undo`."""
        self._known(tenant).recent.drop(one.id)
        keys = [key(tenant, "minute"), client_key(tenant, one.client)]
        await self._step(scripts.TAKE_BACK, tenant, keys, [one.id])

    async def restore(self) -> None:
        """See `SharedQuota.restore`."""
        while (found := self._unwritten()) is not None:
            tenant, some = found
            now = self._monotonic()
            keys, arguments = let_in_words(tenant, some, now)
            await self._step(scripts.RESTORE, tenant, keys, arguments)
            self._known(tenant).recent.wrote(some)

    def _unwritten(self) -> tuple[str, list[UnsyncedRequest]] | None:
        for tenant, known in self._tenants.items():
            if some := known.recent.unwritten(self._monotonic(), RESTORED_AT_ONCE):
                return tenant, some
        return None

    async def charge(self, tenant: str, charge: Charge) -> None:
        """See `SharedQuota.charge`."""
        line = charge.line
        keys = [key(tenant, f"ledger:{charge.day}"), key(tenant, f"done:{charge.id}")]
        arguments = [
            charge.day, book_name(charge.book), line.requests, line.characters, line.audio_microseconds,
            line.cached, line.degraded, int(charge.is_counted),
        ]  # fmt: skip
        epoch = await self._step(scripts.CHARGE, tenant, keys, arguments)
        self._known(tenant).enter(epoch, charge.day, charge.book, line)

    async def _look(self, tenant: str, limits: Limits, client: str) -> Counts:
        keys = [key(tenant, "minute"), client_key(tenant, client)]
        asked = (limits.requests_per_minute, limits.client_requests_per_minute)
        arguments = ["" if limit is None else limit for limit in asked]
        reply = await self._call(scripts.LOOK, tenant, keys, arguments)
        return self._read(self._known(tenant), reply)

    async def _step(self, script: str, tenant: str, keys: list[str], arguments: list[Any]) -> str:
        """The epoch in which it was taken."""
        epoch, today = _said(await self._call(script, tenant, keys, arguments))
        self._known(tenant).observe(epoch, today)
        return epoch

    def _read(self, known: LastKnownCounts, reply: list[Any]) -> Counts:
        """What `counts` of the scripts says."""
        epoch, today = _said(reply)
        known.observe(epoch, today)
        now, *numbers = (int(value) for value in reply[5:])
        minute, client, concurrent = numbers[0:4], numbers[4:8], numbers[8]
        return Counts(
            datetime.fromtimestamp(now / MICROSECONDS, UTC), window(minute), window(client), concurrent, today
        )

    def _known(self, tenant: str) -> LastKnownCounts:
        return self._tenants.setdefault(tenant, LastKnownCounts())

    async def _call(self, script: str, tenant: str, keys: list[str], arguments: list[Any]) -> Any:
        """With what every script wants to know."""
        known = self._known(tenant)
        seen = known.seen or DayCounts()
        keys = [*(key(tenant, name) for name in ("epoch", "day", "open", "leases", "lapsed")), *keys]
        arguments = [
            known.epoch, uuid.uuid4().hex, seen.day, seen.requests, seen.characters, seen.audio_microseconds,
            *arguments,
        ]  # fmt: skip
        return await self._calls.run(script, keys, arguments)


def _said(reply: list[Any]) -> tuple[str, DayCounts]:
    """What `seen` of the scripts says: the epoch, and what of the day is used."""
    return text(reply[0]), DayCounts(*(int(value) for value in reply[1:5]))
