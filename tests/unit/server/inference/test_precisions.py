"""Each utterance goes to the engine client of its precision."""

import asyncio
from collections.abc import AsyncGenerator, Mapping

import numpy as np
import pytest

from tts_server.errors import Draining, EngineUnavailable, TTSError
from tts_server.inference.client import Samples, Utterance, VoiceFeatures, Voices
from tts_server.inference.precisions import PrecisionRouter
from tts_server.scheduling.fair_queue import Priority, SchedulingParams


class Recorded:
    """An engine client that remembers what it is asked."""

    pause_scales: Mapping[float, float] = {1.0: 1.0}
    voice_features = VoiceFeatures()

    def __init__(self, characters: int = 0, voices: Voices | None = None, failure: str = "") -> None:
        self.sample_rate_hz = 24_000
        self.voices = voices or {"ann": ("en",)}
        self.passage_characters = characters
        self.real_time_factor = 0.0
        self.ready = True
        self.asked: list[object] = []
        self._failure = failure

    async def start(self) -> None:
        if self._failure:
            raise EngineUnavailable(self._failure)
        self.asked.append("start")

    async def speak(
        self,
        utterance: Utterance,
        params: SchedulingParams = SchedulingParams(),  # noqa: B008 - immutable
    ) -> AsyncGenerator[Samples]:
        self.asked.append(utterance.text)
        yield np.zeros(1, np.int16)

    def promote(self, reply: object) -> None:
        self.asked.append(reply)

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        self.asked.append(error)

    async def stop(self) -> None:
        self.asked.append("stop")


def test_the_precision_of_an_utterance_chooses_and_others_get_the_default() -> None:
    int8, fp32 = Recorded(300), Recorded(100)
    router = PrecisionRouter({"int8": int8, "fp32": fp32}, "int8")

    async def speak() -> None:
        for precision in ("fp32", "int8", "fp16"):
            async for _ in router.speak(Utterance(precision, "ann", precision=precision)):
                pass

    asyncio.run(speak())
    assert (int8.asked, fp32.asked) == (["int8", "fp16"], ["fp32"])
    assert router.passage_characters == 100


def test_it_is_ready_when_every_precision_is_and_tells_all_what_concerns_all() -> None:
    int8, fp32 = Recorded(), Recorded()
    router = PrecisionRouter({"int8": int8, "fp32": fp32}, "int8")
    asyncio.run(router.start())
    assert router.ready
    draining = Draining("Going.")
    router.promote("reply")
    router.refuse_waiting(draining)
    asyncio.run(router.stop())
    assert int8.asked == fp32.asked == ["start", "reply", draining, "stop"]
    fp32.ready = False
    assert not router.ready


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Recorded(failure="There is no file x."), "There is no file x."),
        (Recorded(voices={"bob": ("en",)}), "The files of precision fp32 have other voices"),
    ],
    ids=["one does not load", "other voices"],
)
def test_a_precision_that_cannot_serve_ends_the_start_of_all(other: Recorded, message: str) -> None:
    int8 = Recorded()
    with pytest.raises(EngineUnavailable, match=message):
        asyncio.run(PrecisionRouter({"int8": int8, "fp32": other}, "int8").start())
    assert (int8.asked[-1], other.asked[-1]) == ("stop", "stop")
