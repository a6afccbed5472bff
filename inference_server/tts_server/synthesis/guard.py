"""Puts a circuit breaker beside an engine client: each utterance asks it for a permit and reports how it ended."""

import time
from types import TracebackType

import structlog

from tts_server.circuit_breaker import Breaker, BreakerSettings, Now, Permit
from tts_server.errors import EngineError, EngineGivenUp
from tts_server.inference.client import EngineClient
from tts_server.synthesis.loudness import LoudnessMeters

log = structlog.get_logger(__name__)


class BreakerGuard:
    """The circuit breaker of one engine client, for that client's lifetime."""

    def __init__(
        self,
        model: str,
        engine_client: EngineClient,
        *,
        settings: BreakerSettings | None = None,
        now: Now = time.monotonic,
    ) -> None:
        self.engine_client = engine_client
        self.breaker = Breaker(now, settings)
        self.has_fallback = False
        self.loudness = LoudnessMeters()
        """Loudness of the engine's voices, as far as it was needed."""
        self._model = model

    @property
    def allows(self) -> bool:
        """Whether an attempt may succeed: the engine is started, not in a crash loop, and the breaker is not open."""
        return self.engine_client.ready and self.breaker.allows

    def attempt(self, *, despite_breaker: bool = False) -> "Attempt":
        """Return a context manager for one utterance. Raises `EngineGivenUp` unless the breaker permits it.

        With `despite_breaker` the attempt is made in any case; without a permit it does not count.
        """
        permit = self.breaker.permit()
        if permit is None and not despite_breaker:
            raise self._given_up()
        return Attempt(self, permit)

    def failed(self, permit: Permit) -> None:
        """Record an attempt that the engine failed."""
        if self.breaker.failed(permit):
            log.warning("circuit breaker opened", model=self._model)
            if self.has_fallback:  # queued utterances go there at once
                self.engine_client.refuse_waiting(self._given_up())

    def _given_up(self) -> EngineGivenUp:
        return EngineGivenUp(f"Model {self._model} failed repeatedly; it is tried again within a minute.")


class Attempt:
    """One utterance: reports to the breaker how it ended. Without a permit it reports nothing."""

    def __init__(self, guard: BreakerGuard, permit: Permit | None) -> None:
        self._guard = guard
        self._permit = permit

    def __enter__(self) -> None:
        pass  # no await: a permit is never lost to a cancellation

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._permit is None:
            return
        if error is None:
            self._guard.breaker.succeeded(self._permit)
        elif isinstance(error, EngineError) and error.counts:
            self._guard.failed(self._permit)
        else:  # the client disconnected, the queue refused the utterance, or the engine works and asks to wait
            self._guard.breaker.abandoned(self._permit)
