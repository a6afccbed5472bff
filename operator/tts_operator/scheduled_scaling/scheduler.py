"""When each tenant is due next even if nothing happens, and how late it was."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.objects.keys import Key
from tts_operator.scheduled_scaling.executor import ScalingExecutor
from tts_operator.scheduled_scaling.precompute import Requeue
from tts_operator.scheduled_scaling.timers import TransitionTimers


class Timetable:
    """Of one leadership: a replica that leads again must not go by what another has seen to since."""

    def __init__(self, cluster: Cluster, clock: Clock, late: Callable[[float], None]) -> None:
        """`late` hears, once for each transition, how many seconds after its instant it was made."""
        self._clock = clock
        self._late = late
        self._transitions = TransitionTimers[Key]()
        self._executor = ScalingExecutor(cluster, clock, self._moved)
        self._scheduled: set[Key] = set()  # what is due next is a transition
        self._begun: dict[Key, datetime] = {}  # transitions that nothing has made yet

    def expect(self, key: Key, coming: Requeue | None) -> None:
        """What comes next for this key, instead of what was expected."""
        self._transitions.set(key, coming.at if coming else None)
        self._executor.prepare(key, coming.precompute if coming else ())
        if coming and coming.transition:
            self._scheduled.add(key)
        else:
            self._scheduled.discard(key)

    def changed(self, key: Key) -> None:
        """The tenant or a model of it changed: what its next instant writes has to be worked out again."""
        self._executor.forget(key)

    def reconciled(self, key: Key) -> None:
        """Whatever had begun for this key is done."""
        if begun := self._begun.pop(key, None):
            self._late((self._clock.now() - begun).total_seconds())

    async def rest(self) -> None:
        """Return when no transition is being made: what else there is to do would only make the others late."""
        await self._executor.rest()

    async def run(self, reconcile: Callable[[Key], None]) -> None:
        """Make each transition at its instant, and call `reconcile` with each key that is due; for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._transitions.run(self._clock, self._begin))
            group.create_task(self._executor.run(reconcile))

    def _begin(self, key: Key, lateness: timedelta) -> None:
        at = self._clock.now() - lateness
        if key in self._scheduled:
            self._scheduled.remove(key)
            self._begun.setdefault(key, at)
        self._executor.begin(key, at)

    def _moved(self, key: Key, at: datetime) -> None:
        self._begun.pop(key, None)
        self._late((self._clock.now() - at).total_seconds())
