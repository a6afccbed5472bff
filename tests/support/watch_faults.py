"""Faults of one watch, as changes of its lines on their way to the client."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from tests.support.api_faults import ApiFault

LATE_SECONDS = 3.0
LAG_SECONDS = 1.0
"""Longest time for which a watch delivers nothing before it is told that it is too far behind."""
NEIGHBOUR_SECONDS = 0.5
"""Time for which an event waits for a neighbour that it changes places with."""
CUT_WITHIN_SECONDS = 3.0
MAX_EVENTS_BEFORE_EXPIRY = 4
SHARE_OF_EVENTS = 0.5
EXPIRED_EVENT = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version",
        "reason": "Expired",
        "code": 410,
    },
}

EXPIRED_LINE = json.dumps(EXPIRED_EVENT).encode() + b"\n"


class EndOfWatchError(Exception):
    """The API server ended the watch in good order."""


class CutOffError(Exception):
    """The connection is to be cut, after these bytes."""

    def __init__(self, last: bytes = b"") -> None:
        super().__init__("the watch is cut")
        self.last = last


class Lines(Protocol):
    """Events of a watch, a line for each."""

    async def next(self, within_seconds: float | None = None) -> bytes | None:
        """The next line; None if there is none in time. Raises EndOfWatchError."""


@dataclass(frozen=True)
class WatchFault:
    """One watch that met a fault, with the chance that decides about its events."""

    fault: ApiFault | None
    lines: Lines
    chance: random.Random
    active: Callable[[], bool]
    """Whether faults are active: afterwards the watch is as it should be."""

    async def events(self) -> AsyncIterator[bytes]:
        """Lines that the client receives. Raises CutOffError."""
        with suppress(EndOfWatchError):
            async for line in self._spoiled():
                yield line

    def _spoiled(self) -> AsyncIterator[bytes]:
        by_fault = {
            ApiFault.CUT_WATCH: self._cut,
            ApiFault.EXPIRED: self._expired,
            ApiFault.LATE_EVENTS: self._late,
            ApiFault.DOUBLED_EVENTS: self._doubled,
            ApiFault.REORDERED_EVENTS: self._reordered,
            ApiFault.HANG: self._silent,
        }
        return by_fault.get(self.fault, self._rest)() if self.fault else self._rest()

    async def _rest(self) -> AsyncIterator[bytes]:
        while True:
            line = await self.lines.next()
            assert line is not None
            yield line

    async def _cut(self) -> AsyncIterator[bytes]:
        """Events for a moment; then half of one, or nothing more if there is none."""
        now = asyncio.get_running_loop().time
        until = now() + self.chance.uniform(0, CUT_WITHIN_SECONDS)
        while (left := until - now()) > 0:
            if (line := await self.lines.next(left)) is not None:
                if self.active() and self.chance.random() < SHARE_OF_EVENTS / 2:
                    raise CutOffError(line[: len(line) // 2])
                yield line
        if self.active():
            raise CutOffError
        async for line in self._rest():
            yield line

    async def _expired(self) -> AsyncIterator[bytes]:
        """A few events; none for a moment, as of a watch that lags; then one that says that it is too old."""
        for _ in range(self.chance.randint(0, MAX_EVENTS_BEFORE_EXPIRY)):
            if (line := await self.lines.next(CUT_WITHIN_SECONDS)) is not None:
                yield line
        if self.active():
            await asyncio.sleep(self.chance.uniform(0, LAG_SECONDS))
            yield EXPIRED_LINE
            return
        async for line in self._rest():
            yield line

    async def _late(self) -> AsyncIterator[bytes]:
        async for line in self._rest():
            if self.active() and self.chance.random() < SHARE_OF_EVENTS:
                await asyncio.sleep(self.chance.uniform(0, LATE_SECONDS))
            yield line

    async def _doubled(self) -> AsyncIterator[bytes]:
        async for line in self._rest():
            yield line
            if self.active() and self.chance.random() < SHARE_OF_EVENTS:
                yield line

    async def _reordered(self) -> AsyncIterator[bytes]:
        """Events of different objects in pairs, the second one first."""
        async for first in self._rest():
            pair = [first]
            ended = False
            if self.active():
                try:
                    second = await self.lines.next(NEIGHBOUR_SECONDS)
                except EndOfWatchError:
                    second, ended = None, True
                if second is not None:
                    one_object = metadata_of(first).get("uid") == metadata_of(second).get("uid")
                    pair = [first, second] if one_object else [second, first]
            for line in pair:
                yield line
            if ended:
                return

    async def _silent(self) -> AsyncIterator[bytes]:
        """No events and no end, until the client gives up."""
        await asyncio.Event().wait()
        yield b""


def metadata_of(line: bytes) -> dict[str, Any]:
    """Metadata of the object that an event is about; empty for a line that is no event."""
    try:
        found: dict[str, Any] = json.loads(line)["object"]["metadata"]
    except (ValueError, LookupError, TypeError):
        return {}
    return found
