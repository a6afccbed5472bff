"""Writes the HPA bounds of all transitions of one instant, before any other work of that instant starts."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotLeading, Refused, Unreachable
from tts_operator.objects.keys import Key
from tts_operator.plan.actions import Apply

log = structlog.get_logger()

MAX_CONCURRENT_WRITES = 16
"""Concurrent writes: more would only queue at the API server."""
MAX_PAUSE_SECONDS = 10.0
"""Longest that other work is paused for bounds, seconds, however many or slow their writes are."""
VALID_FOR = timedelta(minutes=1)
"""Time after its instant in which a prepared write is current: windows open on whole minutes. A replica that leads
again may hold older ones."""


class Prepared(NamedTuple):
    """Writes of a key's next instant."""

    writes: tuple[Apply, ...]
    is_current: Callable[[], bool]
    """Whether what they were computed from is still as it was: checked at the instant."""


def always() -> bool:
    """Whether writes are current whose sources nobody compares."""
    return True


NOTHING = Prepared((), always)


class ScalingExecutor:
    """Performs precomputed writes at their instant. The reconcile that follows repairs a failed one."""

    def __init__(self, cluster: Cluster, clock: Clock, updated: Callable[[Key, datetime], None]) -> None:
        """`updated` is called with each key, and its instant, whose writes all succeeded."""
        self._cluster = cluster
        self._clock = clock
        self._updated = updated
        self._prepared: dict[Key, Prepared] = {}
        self._due: dict[Key, datetime] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def prepared(self) -> int:
        """Number of keys with writes."""
        return len(self._prepared)

    def prepare(self, key: Key, writes: Sequence[Apply], is_current: Callable[[], bool] = always) -> None:
        """Replace the writes of this key's next instant."""
        if writes:
            self._prepared[key] = Prepared(tuple(writes), is_current)
        else:
            self._prepared.pop(key, None)

    def forget(self, key: Key) -> None:
        """Drop prepared writes: the tenant or one of its models changed."""
        self._prepared.pop(key, None)

    def begin(self, key: Key, at: datetime) -> None:
        """Start the transition of a key at its instant."""
        self._due[key] = at
        self._idle.clear()
        self._wake.set()

    async def wait_idle(self) -> None:
        """Return when no transition is in progress, or after MAX_PAUSE_SECONDS."""
        if not self._idle.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), MAX_PAUSE_SECONDS)

    async def run(self, reconcile: Callable[[Key], None]) -> None:
        """Perform due writes, then call `reconcile` with each key. Never returns."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, {}
            queue = iter(due.items())
            done: list[tuple[Key, tuple[Apply, ...]]] = []
            await asyncio.gather(*(self._work(queue, done) for _ in range(min(MAX_CONCURRENT_WRITES, len(due)))))
            if not self._due:
                self._idle.set()
            for key, writes in done:  # a line takes a tenth of what a write takes, and no write waits for it
                log.info("HPA bounds updated", tenant=str(key), actions=[str(write) for write in writes])
            for key in due:
                reconcile(key)

    async def _work(self, queue: Iterator[tuple[Key, datetime]], done: list[tuple[Key, tuple[Apply, ...]]]) -> None:
        for key, at in queue:
            writes, is_current = self._prepared.pop(key, NOTHING)
            if self._clock.now() - at >= VALID_FOR or not is_current():
                continue
            try:
                for write in writes:
                    await self._cluster.apply(write.manifest, force=True)
            except (Unreachable, NotLeading) as error:
                log.warning("HPA bounds not updated", tenant=str(key), error=str(error))
                return  # the next write would fail after the same timeout: reconciles have a backoff
            except Refused as error:
                log.info("HPA bounds not updated", tenant=str(key), reason=error.reason, error=error.message)
            except Exception:  # other tenants' transitions continue
                log.exception("HPA bounds not updated", tenant=str(key))
            else:
                if writes:
                    done.append((key, writes))
                    self._updated(key, at)
