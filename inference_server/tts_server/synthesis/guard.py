"""Around a speaker: its breaker hears how every attempt ends."""

import time
from types import TracebackType

import structlog

from tts_server.circuit_breaker import Breaker, BreakerSettings, Now, Permit
from tts_server.errors import EngineError, EngineGivenUp, TTSError
from tts_server.inference.client import EngineClient, Queueing
from tts_server.scheduling.fair_queue import Priority

log = structlog.get_logger(__name__)


class BreakerGuard:
    """Of one speaker, for as long as that lives."""

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
        self.has_standby = False
        self._model = model

    @property
    def sample_rate_hz(self) -> int:
        return self.engine_client.sample_rate_hz

    @property
    def allows(self) -> bool:
        """Whether it is worth a try: started, not in a crash loop, and the breaker says so."""
        return self.engine_client.ready and self.breaker.allows

    def attempt(self, *, anyway: bool = False) -> "Attempt":
        """To be entered around whatever the speaker is asked for; `anyway`: also while the breaker says no.

        Raises `EngineGivenUp` where the breaker says no.
        """
        permit = self.breaker.permit()
        if permit is None and not anyway:
            raise EngineGivenUp(f"Model {self._model} has failed too often; it is tried again in a while.")
        return Attempt(self, permit)

    def failed(self, permit: Permit) -> None:
        """The engine's failure ended an attempt."""
        if self.breaker.failed(permit):
            log.warning("engine is given up for a while", model=self._model)
            self._send_on()

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        """See `Queueing`; nothing where nobody waits here."""
        if isinstance(self.engine_client, Queueing):
            self.engine_client.refuse_waiting(error, priority)

    def promote(self, reply: object) -> None:
        """See `Queueing`; nothing where nobody waits here."""
        if isinstance(self.engine_client, Queueing):
            self.engine_client.promote(reply)

    def _send_on(self) -> None:
        """Who waits for an engine that was given up goes to the fallback now, where there is one."""
        if self.has_standby:
            self.refuse_waiting(
                EngineGivenUp(f"Model {self._model} has failed too often; it is tried again in a while.")
            )


class Attempt:
    """At speaking: the breaker hears of its end, whatever that is. Without a permit, it hears nothing."""

    def __init__(self, guard: BreakerGuard, permit: Permit | None) -> None:
        self._guard = guard
        self._permit = permit

    def __enter__(self) -> None:
        """It may be left at once."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._permit is None:
            return
        if error is None:
            self._guard.breaker.succeeded(self._permit)
        elif isinstance(error, EngineError):
            self._guard.failed(self._permit)
        else:  # its caller has left, or was refused
            self._guard.breaker.abandoned(self._permit)
