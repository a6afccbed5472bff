"""One model at several precisions: an engine client per precision that has files of its own."""

import asyncio
from collections.abc import AsyncGenerator, Mapping

from tts_server.errors import EngineUnavailable, TTSError
from tts_server.inference.client import EngineClient, Samples, Utterance, VoiceFeatures, Voices
from tts_server.scheduling.fair_queue import Priority, SchedulingParams

DEFAULT_PARAMS = SchedulingParams()


class PrecisionRouter:
    """`EngineClient` that gives each utterance to the engine client of its precision.

    Each has processes and a queue of its own: weights between tenants hold at each precision for itself.
    """

    def __init__(self, by_precision: Mapping[str, EngineClient], default: str) -> None:
        """`by_precision` has the precision `default`, which also computes those that are not in it."""
        self._by_precision = by_precision
        self._default = by_precision[default]

    @property
    def sample_rate_hz(self) -> int:
        return self._default.sample_rate_hz

    @property
    def voices(self) -> Voices:
        return self._default.voices

    @property
    def voice_features(self) -> VoiceFeatures:
        return self._default.voice_features

    @property
    def real_time_factor(self) -> float:
        return max(client.real_time_factor for client in self._by_precision.values())

    @property
    def passage_characters(self) -> int:
        return min(client.passage_characters for client in self._by_precision.values())

    @property
    def pause_scales(self) -> Mapping[float, float]:
        return self._default.pause_scales

    @property
    def ready(self) -> bool:
        return all(client.ready for client in self._by_precision.values())

    @property
    def pids(self) -> list[int]:
        """Process IDs of the running workers of all precisions."""
        return [pid for client in self._by_precision.values() for pid in getattr(client, "pids", ())]

    async def start(self) -> None:
        clients = self._by_precision
        try:
            async with asyncio.TaskGroup() as group:
                for client in clients.values():
                    group.create_task(client.start())
            for precision, client in clients.items():
                self._check(precision, client)
        except BaseExceptionGroup as failures:
            await self.stop()
            raise failures.exceptions[0] from None
        except BaseException:
            await self.stop()
            raise

    def _check(self, precision: str, client: EngineClient) -> None:
        if (client.sample_rate_hz, set(client.voices)) != (self.sample_rate_hz, set(self.voices)):
            raise EngineUnavailable(f"The files of precision {precision} have other voices or another sample rate.")

    def speak(self, utterance: Utterance, params: SchedulingParams = DEFAULT_PARAMS) -> AsyncGenerator[Samples]:
        return self._by_precision.get(utterance.precision, self._default).speak(utterance, params)

    def promote(self, reply: object) -> None:
        for client in self._by_precision.values():
            client.promote(reply)

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        for client in self._by_precision.values():
            client.refuse_waiting(error, priority)

    async def stop(self) -> None:
        await asyncio.gather(*(client.stop() for client in self._by_precision.values()))
