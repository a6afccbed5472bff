"""Requeues each tenant at its next transition, and measures how late transitions are made."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.informer.reader import ScheduleStamp
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import MODEL
from tts_operator.scheduled_scaling.executor import MAX_CONCURRENT_WRITES, ScalingExecutor
from tts_operator.scheduled_scaling.precompute import Requeue
from tts_operator.scheduled_scaling.timers import TransitionTimers

log = structlog.get_logger()


class Timetable:
    """Next transitions of all tenants, for one term of leadership: another leader may have made older ones."""

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        observe_lag: Callable[[float], None],
        stamp_of: Callable[[Key], ScheduleStamp | None] = lambda _key: None,
    ) -> None:
        """`observe_lag` is called once per transition with its lag, seconds after its instant.

        `stamp_of` returns a digest of what the bounds of a tenant follow from now; None if that cannot be told.
        """
        self._cluster = cluster
        self._clock = clock
        self._stamp_of = stamp_of
        self._observe_lag = observe_lag
        self._transitions = TransitionTimers[Key]()
        self._executor = ScalingExecutor(cluster, clock, self._updated)
        self._scheduled: set[Key] = set()  # keys whose next requeue is a transition
        self._approaching = asyncio.Event()
        self._begun: dict[Key, datetime] = {}  # instants of transitions in progress

    def set(self, key: Key, requeue: Requeue | None, stamp: ScheduleStamp | None = None) -> None:
        """Replace the key's next scheduled transition. `stamp` is that from before the reconcile that computed it."""
        self._transitions.set(key, requeue.at if requeue else None)
        writes = requeue.precompute if requeue else ()
        self._executor.prepare(key, writes, lambda: stamp is None or self._stamp_of(key) in (None, stamp))
        if requeue and requeue.transition:
            self._scheduled.add(key)
        else:
            self._scheduled.discard(key)

    def changed(self, key: Key) -> None:
        """Drop the precomputed writes of a key: the tenant or one of its models changed."""
        self._executor.forget(key)

    def reconciled(self, key: Key) -> None:
        """Record that a reconcile completed the transition in progress, if there was one."""
        if begun := self._begun.pop(key, None):
            self._observe_lag((self._clock.now() - begun).total_seconds())

    async def wait_idle(self) -> None:
        """Return when no transition is in progress: other work would delay them."""
        await self._executor.wait_idle()

    async def run(self, reconcile: Callable[[Key], None]) -> None:
        """Make each transition at its instant, and call `reconcile` with each due key. Never returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._transitions.run(self._clock, self._begin, self._approaching.set))
            group.create_task(self._connect())
            group.create_task(self._executor.run(reconcile))

    async def _connect(self) -> None:
        """Open connections for the writes of each instant before it: idle ones are closed after 15 seconds."""
        while True:
            await self._approaching.wait()
            self._approaching.clear()
            count = min(self._executor.prepared, MAX_CONCURRENT_WRITES)
            try:
                await asyncio.gather(*(self._cluster.revision(MODEL) for _ in range(count)), return_exceptions=True)
            except Exception:  # the writes open connections themselves
                log.exception("connections not opened")

    def _begin(self, key: Key, lateness: timedelta) -> None:
        at = self._clock.now() - lateness
        if key in self._scheduled:
            self._scheduled.remove(key)
            self._begun.setdefault(key, at)
        self._executor.begin(key, at)

    def _updated(self, key: Key, at: datetime) -> None:
        self._begun.pop(key, None)
        self._observe_lag((self._clock.now() - at).total_seconds())
