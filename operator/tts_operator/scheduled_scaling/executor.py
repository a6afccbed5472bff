"""Every bound that moves in one second is moved first; whatever else that second brings waits until then."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotLeading, Refused, Unreachable
from tts_operator.objects.keys import Key
from tts_operator.plan.actions import Apply

log = structlog.get_logger()

MAX_CONCURRENT_WRITES = 8
"""Writes under way together: more would only queue at the API server."""
LONGEST_SECONDS = 10.0
"""That other work waits for bounds: however many there are, or however slow the API server is, it goes on then."""
TRUE_FOR = timedelta(minutes=1)
"""Windows open on whole minutes: for so long nothing else is due. A replica that leads again may hold older ones."""


class ScalingExecutor:
    """Writes that were worked out before their instant came. A lost one is made up for by its reconcile."""

    def __init__(self, cluster: Cluster, clock: Clock, moved: Callable[[Key, datetime], None]) -> None:
        """`moved` hears of each key, with its instant, whose writes all succeeded."""
        self._cluster = cluster
        self._clock = clock
        self._moved = moved
        self._moves: dict[Key, tuple[Apply, ...]] = {}
        self._due: dict[Key, datetime] = {}
        self._wake = asyncio.Event()
        self._rests = asyncio.Event()
        self._rests.set()

    def prepare(self, key: Key, precompute: Sequence[Apply]) -> None:
        """What this key writes when its instant comes, instead of what was prepared."""
        if precompute:
            self._moves[key] = tuple(precompute)
        else:
            self._moves.pop(key, None)

    def forget(self, key: Key) -> None:
        """The tenant or a model of it changed: what was worked out is no longer true."""
        self._moves.pop(key, None)

    def begin(self, key: Key, at: datetime) -> None:
        """The key's instant has come."""
        self._due[key] = at
        self._rests.clear()
        self._wake.set()

    async def rest(self) -> None:
        """Return when no bound is to be moved now; after LONGEST_SECONDS anyway."""
        if not self._rests.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._rests.wait(), LONGEST_SECONDS)

    async def run(self, reconcile: Callable[[Key], None]) -> None:
        """Write what is due, then call `reconcile` with each key; for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, {}
            waiting = iter(due.items())
            await asyncio.gather(*(self._work(waiting) for _ in range(min(MAX_CONCURRENT_WRITES, len(due)))))
            if not self._due:
                self._rests.set()
            for key in due:
                reconcile(key)

    async def _work(self, waiting: Iterator[tuple[Key, datetime]]) -> None:
        for key, at in waiting:
            precompute = self._moves.pop(key, ())
            if self._clock.now() - at >= TRUE_FOR:
                continue
            try:
                for move in precompute:
                    await self._cluster.apply(move.manifest, force=True)
            except (Unreachable, NotLeading) as error:
                log.warning("bounds not moved", tenant=str(key), error=str(error))
                return  # the next one would wait as long for nothing: the reconciles have a backoff
            except Refused as error:
                log.info("bounds not moved", tenant=str(key), reason=error.reason, error=error.message)
            except Exception:  # whatever it is: the calendar goes on for everybody else
                log.exception("bounds not moved", tenant=str(key))
            else:
                if precompute:
                    log.info("bounds moved", tenant=str(key), actions=[str(move) for move in precompute])
                    self._moved(key, at)
