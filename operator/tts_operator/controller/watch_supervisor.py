"""Keeps watching: a session of watches that ended or hangs is abandoned, and another one starts in its place."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from tts_operator.controller.fingerprints import Fingerprints
from tts_operator.controller.watch_session import Watching, WatchSession
from tts_operator.controller.watches import EventSink, ForwardToLoop, KopfWatch, WatchScope
from tts_operator.objects.kinds import Kind
from tts_operator.telemetry.watch_activity import SILENCE_SECONDS, WatchActivity

log = structlog.get_logger()

CHECK_SECONDS = 0.5
"""Interval of checks, seconds."""
RESTART_SECONDS = 2.0
"""Shortest time between the starts of two sessions of one scope, seconds."""
LONGEST_PATIENCE_SECONDS = 72.0
"""Limit of the patience with sessions that never got as far as to watch: a list of everything may take its time."""
STOP_SECONDS = 1.0

StartWatching = Callable[[WatchScope, EventSink, WatchActivity], Watching]


@dataclass
class _Started:
    """A session with what is known about it."""

    session: WatchSession
    sink: ForwardToLoop
    activity: WatchActivity
    patience_seconds: float
    at: float
    """Monotonic time of the start."""
    replaces: bool
    """Whether its scope was watched before."""
    watched: bool = False
    """Whether all its watches have worked at the same time."""


class WatchSupervisor:
    """One session per scope. Belongs to one event loop, on which it also calls the sink.

    `restarting` is called for each session that is replaced, and `restarted` when the new one watches: what happened in
    between was missed.
    """

    def __init__(
        self,
        sink: EventSink,
        monotonic: Callable[[], float],
        restarted: Callable[[], None],
        restarting: Callable[[], None] = lambda: None,
        start_watching: StartWatching | None = None,
    ) -> None:
        self._sink = sink
        self._monotonic = monotonic
        self._restarted = restarted
        self._restarting = restarting
        prints = Fingerprints()  # outlives sessions: what a new one lists without a change is no news
        self._start_watching = start_watching or (
            lambda scope, sink, activity: KopfWatch(scope, sink, prints, activity)
        )
        self._started: dict[WatchScope, _Started] = {}
        self._known: set[WatchScope] = set()

    async def run(self) -> None:
        """Check the sessions until cancelled; then end them."""
        try:
            while True:
                try:
                    self.check()
                except Exception:  # no thread or descriptor left: the next check tries again
                    log.exception("watches not restarted")
                await asyncio.sleep(CHECK_SECONDS)
        finally:
            await self._stop()

    def watch(self, scopes: tuple[WatchScope, ...]) -> None:
        """Watch these scopes and no others."""
        for scope in self._started.keys() - set(scopes):
            self._abandon(self._started.pop(scope))
        for scope in scopes:
            if scope not in self._started:
                self._start(scope, SILENCE_SECONDS)

    def restart(self, why: str) -> None:
        """Start every session anew."""
        for scope in list(self._started):
            self._replace(scope, why)

    def check(self) -> None:
        """Start those sessions anew that have ended or hang."""
        for scope, started in list(self._started.items()):
            if not started.watched and not started.activity.silent():
                self._works(started, scope)
            if not started.session.running:
                if self._monotonic() - started.at >= RESTART_SECONDS:
                    self._replace(scope, "the session ended")
            elif hanging := started.activity.hanging(started.patience_seconds):
                self._replace(scope, f"no events from {', '.join(hanging)}")

    def works(self, path: str) -> bool:
        """Whether a working watch delivers the collection of this URL path."""
        return any(
            path in scope.paths and started.session.running and path not in started.activity.silent()
            for scope, started in self._started.items()
        )

    def age_seconds(self, kind: Kind) -> float:
        """Time since the watches of a scope with this kind last worked, of the oldest scope; 0 without any."""
        watching = (started for scope, started in self._started.items() if kind in scope.kinds)
        return max((started.activity.age_seconds() for started in watching), default=0.0)

    def problems(self) -> list[str]:
        """Watches that do not work now, one line each."""
        if not self._started:
            return ["the watches have not started"]
        return [
            f"no working watch of {path}"
            for scope, started in self._started.items()
            for path in (started.activity.silent() if started.session.running else scope.paths)
        ]

    def _works(self, started: _Started, scope: WatchScope) -> None:
        started.watched = True
        started.patience_seconds = SILENCE_SECONDS
        if started.replaces:
            log.info("watches work again", namespace=scope.namespace)
            self._restarted()

    def _replace(self, scope: WatchScope, why: str) -> None:
        before = self._started[scope]
        log.warning("watches restarted", namespace=scope.namespace, why=why)
        self._restarting()
        self._abandon(before)
        # One that never got as far as to watch may only have been slow: the next one has more time.
        patience = SILENCE_SECONDS if before.watched else min(2 * before.patience_seconds, LONGEST_PATIENCE_SECONDS)
        self._start(scope, patience)

    def _start(self, scope: WatchScope, patience_seconds: float) -> None:
        replaces = scope in self._known
        self._known.add(scope)
        sink = ForwardToLoop(self._sink, asyncio.get_running_loop())
        activity = WatchActivity(scope.paths, self._monotonic, trusting=not replaces)
        session = WatchSession(self._start_watching(scope, sink, activity), scope.namespace)
        self._started[scope] = _Started(session, sink, activity, patience_seconds, self._monotonic(), replaces)
        session.start()

    def _abandon(self, started: _Started) -> None:
        started.sink.close()
        started.session.abandon()

    async def _stop(self) -> None:
        for started in self._started.values():
            self._abandon(started)
        ending = [started.session.ended(STOP_SECONDS) for started in self._started.values()]
        await asyncio.gather(*ending)
