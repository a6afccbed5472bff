"""`Quota` in Redis or Valkey, which all replicas share: one script for each step (`redis_scripts`)."""

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from tts_server.quota import redis_scripts as scripts
from tts_server.quota.ledger import Charge, DayLedger, Entry, LedgerKey, LedgerTotals, day_number, day_of
from tts_server.quota.limit_table import MICROSECONDS, Limits
from tts_server.quota.limits import Counts, DayCounts, LimitStatus, Request, exceeded, limit_status
from tts_server.quota.protocol import LEASE_SECONDS, StoreUnavailable
from tts_server.quota.recent_requests import UnsyncedRequest, unsynced_request
from tts_server.quota.redis_calls import RedisCalls
from tts_server.quota.redis_codec import (
    amounts_argument,
    common_keys,
    decode_counts,
    decode_seen,
    key,
    last_arguments,
    limits_argument,
    line_name,
    log_keys,
    restore_arguments,
    sums,
    text,
)
from tts_server.quota.replica_view import LastKnownCounts
from tts_server.redis.client import RedisClient

CALL_SECONDS = 0.25
"""Time limit of one step; a store that takes longer counts as unavailable."""
LEASE = int(LEASE_SECONDS * MICROSECONDS)
RESTORED_AT_ONCE = 500
"""Requests that one script writes: it keeps Redis from other clients for about a millisecond."""
NOTHING = Request()


@dataclass(slots=True)
class RedisReservation:
    """A `Reservation` of `RedisQuota`. `settle` and `give_back` may be called again after `StoreUnavailable`."""

    quota: "RedisQuota"
    tenant: str
    id: str
    request: Request
    epoch: str = ""
    day: int = 0
    limit_status: LimitStatus = field(default_factory=dict)
    is_ending: bool = False
    """A command that ends it was sent before, and may have been executed."""

    @property
    def record(self) -> str:
        """Its value in the hash `open`."""
        return f"{self.day} {self.request.characters} {self.request.audio_microseconds}"

    async def settle(self, entry: Entry) -> None:
        await self.quota.settle(self, entry)

    async def give_back(self) -> None:
        await self.quota.give_back(self)


class RedisQuota:
    """Counters that all replicas share. Each step ends within `CALL_SECONDS`, or raises `StoreUnavailable`."""

    def __init__(
        self,
        client: RedisClient,
        call_seconds: float = CALL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._calls = RedisCalls(client, call_seconds)
        self._tenants: defaultdict[str, LastKnownCounts] = defaultdict(LastKnownCounts)
        self._doubtful: list[RedisReservation] = []
        """Reservations without a reply: they may be counted, and must be given back."""

    async def reserve(self, tenant: str, limits: Limits, request: Request = NOTHING) -> RedisReservation:
        view = self._view(tenant)
        reservation = RedisReservation(self, tenant, secrets.token_hex(16), request)
        arg = {
            "id": reservation.id,
            "limits": limits_argument(limits),
            "amounts": amounts_argument(request),
            "client": bool(request.client),
            "lease": LEASE,
        }
        try:
            reply = await self._call(scripts.RESERVE, tenant, log_keys(tenant, request.client), arg)
        except (StoreUnavailable, asyncio.CancelledError):
            reservation.epoch = view.epoch
            self._doubtful.append(reservation)
            raise
        counts = self._read(view, reply[1:])
        if not int(reply[0]):
            refusal = exceeded(limits, request, counts)
            if refusal is None:
                raise StoreUnavailable("the counters refuse a request that their own numbers allow")
            raise refusal
        view.open.add(reservation.id)
        view.recent.add(unsynced_request(reservation.id, self._monotonic(), limits, request), written=True)
        reservation.epoch, reservation.day = text(reply[1]), counts.today.day
        reservation.limit_status = limit_status(limits, counts)
        return reservation

    async def remaining(self, tenant: str, limits: Limits, client: str = "") -> LimitStatus:
        return limit_status(limits, await self._look(tenant, limits, client))

    async def ledger(self, tenant: str, day: date | None = None) -> DayLedger:
        if day is None:
            day = day_of((await self._look(tenant, Limits(), "")).today.day)
        ledger = key(tenant, f"ledger:{day_number(day)}")
        lines: dict[LedgerKey, dict[str, int]] = {}
        for name, value in (await self._calls.fields(ledger)).items():
            field_name, precision, model = name.split(" ", 2)
            lines.setdefault((model, precision), {})[field_name] = int(value)
        return DayLedger(
            day,
            {
                line: LedgerTotals(one["requests"], one["characters"], one["audio"], one["cached"], one["degraded"])
                for line, one in sorted(lines.items())
            },
        )

    def last_day_counts(self, tenant: str) -> DayCounts | None:
        return self._view(tenant).day_counts

    async def probe(self, tenant: str) -> None:
        await self._look(tenant, Limits(), "")  # its script writes: a full or read-only store fails
        # A replica that was promoted may lack the last second of its predecessor.
        self._view(tenant).recent.mark_unreachable()

    async def maintain(self) -> None:
        while self._doubtful:
            await self.give_back(self._doubtful[0])
            self._doubtful.pop(0)
        for tenant, view in list(self._tenants.items()):
            if view.open:
                await self._step(scripts.RENEW, tenant, {}, {"lease": LEASE, "ids": sorted(view.open)})
            while view.lost:
                await self.charge(tenant, view.lost[0])
                view.lost.pop(0)

    async def settle(self, reservation: RedisReservation, entry: Entry) -> None:
        """Charge a reservation."""
        tenant, totals = reservation.tenant, entry.totals
        keys = {
            "ledger": key(tenant, f"ledger:{reservation.day}"),
            "done": key(tenant, f"done:{reservation.id}"),
        }
        arg = {
            "id": reservation.id,
            "epoch": reservation.epoch,
            "record": reservation.record,
            "name": line_name(entry.key),
            "sums": sums(totals),
            "is_repeated": reservation.is_ending,
        }
        reservation.is_ending = True
        view = self._view(tenant)
        epoch = await self._step(scripts.SETTLE, tenant, keys, arg)
        if reservation.id in view.open:
            view.open.remove(reservation.id)
            view.enter(epoch, reservation.day, entry.key, totals)

    async def give_back(self, reservation: RedisReservation) -> None:
        """Refund a reservation."""
        tenant = reservation.tenant
        keys = log_keys(tenant, reservation.request.client) | {"done": key(tenant, f"done:{reservation.id}")}
        arg = {"id": reservation.id, "epoch": reservation.epoch, "record": reservation.record}
        reservation.is_ending = True
        view = self._view(tenant)
        view.recent.remove(reservation.id)
        await self._step(scripts.GIVE_BACK, tenant, keys, arg)
        view.open.discard(reservation.id)

    def record_admitted(self, tenant: str, limits: Limits, request: Request) -> UnsyncedRequest:
        unsynced = unsynced_request(secrets.token_hex(16), self._monotonic(), limits, request)
        self._view(tenant).recent.add(unsynced, written=False)
        return unsynced

    async def undo(self, tenant: str, request: UnsyncedRequest) -> None:
        self._view(tenant).recent.remove(request.id)
        await self._step(scripts.UNDO, tenant, log_keys(tenant, request.client), {"id": request.id})

    async def restore(self) -> None:
        while (unwritten := self._unwritten()) is not None:
            tenant, requests = unwritten
            logs, arg = restore_arguments(tenant, requests, self._monotonic())
            await self._step(scripts.RESTORE, tenant, {}, arg, logs)
            self._view(tenant).recent.mark_written(requests)

    def _unwritten(self) -> tuple[str, list[UnsyncedRequest]] | None:
        for tenant, view in self._tenants.items():
            if requests := view.recent.unwritten(self._monotonic(), RESTORED_AT_ONCE):
                return tenant, requests
        return None

    async def charge(self, tenant: str, charge: Charge) -> None:
        keys = {"ledger": key(tenant, f"ledger:{charge.day}"), "done": key(tenant, f"done:{charge.id}")}
        arg = {
            "day": charge.day,
            "name": line_name(charge.key),
            "sums": sums(charge.totals),
            "is_counted": charge.is_counted,
        }
        epoch = await self._step(scripts.CHARGE, tenant, keys, arg)
        self._view(tenant).enter(epoch, charge.day, charge.key, charge.totals)

    async def _look(self, tenant: str, limits: Limits, client: str) -> Counts:
        arg = {"limits": limits_argument(limits)}
        reply = await self._call(scripts.LOOK, tenant, log_keys(tenant, client), arg)
        return self._read(self._view(tenant), reply)

    async def _step(
        self,
        script: scripts.Script,
        tenant: str,
        keys: Mapping[str, str],
        arg: Mapping[str, Any],
        more_keys: Sequence[str] = (),
    ) -> str:
        """Run a script that replies with `seen`; returns the epoch in which it ran."""
        epoch, today = decode_seen(await self._call(script, tenant, keys, arg, more_keys))
        self._view(tenant).observe(epoch, today)
        return epoch

    def _read(self, view: LastKnownCounts, reply: list[Any]) -> Counts:
        epoch, today = decode_seen(reply)
        view.observe(epoch, today)
        return decode_counts(reply, today)

    def _view(self, tenant: str) -> LastKnownCounts:
        return self._tenants[tenant]

    async def _call(
        self,
        script: scripts.Script,
        tenant: str,
        keys: Mapping[str, str],
        arg: Mapping[str, Any],
        more_keys: Sequence[str] = (),
    ) -> Any:
        """Run a script with the keys and arguments that every script has."""
        view = self._view(tenant)
        common = {"new_epoch": secrets.token_hex(16), **last_arguments(view.epoch, view.day_counts or DayCounts())}
        return await self._calls.run(script, {**common_keys(tenant), **keys}, {**common, **arg}, more_keys)
