"""Around a speaker: its breaker hears how every attempt ends."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from tts_server.breaker import Breaker, Now
from tts_server.breaker import Limits as BreakerLimits
from tts_server.engines.speaker import Queueing, Samples, Speaker, Utterance
from tts_server.errors import EngineError, EngineGivenUp, TTSError
from tts_server.scheduling.fair_queue import Priority, Turn

log = structlog.get_logger(__name__)


class Guard:
    """Of one speaker, for as long as that lives."""

    def __init__(
        self,
        model: str,
        speaker: Speaker,
        *,
        limits: BreakerLimits | None = None,
        now: Now = time.monotonic,
    ) -> None:
        self.speaker = speaker
        self.breaker = Breaker(now, limits)
        self.has_standby = False
        self._model = model

    @property
    def sample_rate_hz(self) -> int:
        return self.speaker.sample_rate_hz

    @property
    def allows(self) -> bool:
        """Whether it is worth a try: started, not in a crash loop, and the breaker says so."""
        return self.speaker.ready and self.breaker.allows

    async def speak(self, utterance: Utterance, turn: Turn, *, anyway: bool = False) -> AsyncGenerator[Samples]:
        """See `Speaker.speak`; `anyway`: also while the breaker says no, and then without counting.

        Raises `EngineGivenUp` too, where the breaker says no.
        """
        permit = self.breaker.permit()
        if permit is None and not anyway:
            raise EngineGivenUp(f"Model {self._model} has failed too often; it is tried again in a while.")
        ended = False
        try:
            async with aclosing(self.speaker.speak(utterance, turn)) as parts:
                async for part in parts:
                    yield part
            ended = True
            if permit is not None:
                self.breaker.succeeded(permit)
        except EngineError:
            ended = True
            if permit is not None and self.breaker.failed(permit):
                log.warning("engine is given up for a while", model=self._model)
                self._send_on()
            raise
        finally:
            if permit is not None and not ended:
                self.breaker.abandoned(permit)

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        """See `Queueing`; nothing where nobody waits here."""
        if isinstance(self.speaker, Queueing):
            self.speaker.refuse_waiting(error, priority)

    def hurry(self, reply: object) -> None:
        """See `Queueing`; nothing where nobody waits here."""
        if isinstance(self.speaker, Queueing):
            self.speaker.hurry(reply)

    def _send_on(self) -> None:
        """Who waits for an engine that was given up goes to the fallback now, where there is one."""
        if self.has_standby:
            self.refuse_waiting(
                EngineGivenUp(f"Model {self._model} has failed too often; it is tried again in a while.")
            )
