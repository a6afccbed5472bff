"""A sentence in two languages is spoken by two engines as if by one: equally loud, and joined without a click."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.support.timeouts import HANG_SECONDS
from tts_server.config.schema import LanguageRoute, LocalEngine, ModelConfig, OnnxConfig, ServerConfig
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.routing.catalogue import catalogue
from tts_server.routing.voice_selection import VoiceSelector, route, select_voice
from tts_server.samples import FULL_SCALE, Samples
from tts_server.scheduling.fair_queue import SchedulingParams
from tts_server.synthesis import joins
from tts_server.synthesis.guard import BreakerGuard
from tts_server.synthesis.loudness import loudness_lkfs
from tts_server.synthesis.plan import StreamHooks, SynthesisPlan
from tts_server.synthesis.sample_buffer import SampleBuffer
from tts_server.synthesis.sample_stream import SampleStream
from tts_server.text import segments

TEXTS = {
    "a word of the other language": "请打开 the living room window 然后关灯，谢谢你的帮助。",
    "sentences": "今天天气很好，我们去公园散步吧。 Please bring an umbrella, it may rain later. 我们晚上见。",
}
CLICK = 0.005 * FULL_SCALE
MOST_LU = 2.0


@pytest.fixture
async def pools() -> AsyncIterator[dict[str, WorkerPool]]:
    options = OnnxConfig(family="Hibari").model_dump(mode="json", exclude_unset=True)
    pools = {
        "espeak": WorkerPool("espeak", first_audio_timeout_seconds=HANG_SECONDS),
        "heart": WorkerPool("onnx", options=options, first_audio_timeout_seconds=HANG_SECONDS),
    }
    for pool in pools.values():
        await pool.start()
    yield pools
    for pool in pools.values():
        await pool.stop()


@dataclass
class Joins:
    """Positions at which utterances begin in the samples of a reply, and how many samples were put in before each."""

    beginnings: list[int] = field(default_factory=list)
    inserted: list[int] = field(default_factory=list)
    written: int = 0


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Joins:
    found = Joins()
    begin, write, missing_between = SampleBuffer.begin_utterance, SampleBuffer.write, joins.missing_between

    def noted_begin(self: SampleBuffer) -> None:
        found.beginnings.append(found.written)
        begin(self)

    def counted_write(self: SampleBuffer, samples: Samples) -> None:
        found.written += samples.size
        write(self, samples)

    def noted_missing(end: joins.AudioEnd, following: Samples, pause_samples: int) -> Samples:
        missing = missing_between(end, following, pause_samples)
        found.inserted.append(missing.size)
        return missing

    monkeypatch.setattr(SampleBuffer, "begin_utterance", noted_begin)
    monkeypatch.setattr(SampleBuffer, "write", counted_write)
    monkeypatch.setattr(joins, "missing_between", noted_missing)
    return found


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_two_engines_sound_as_one(pools: dict[str, WorkerPool], noted: Joins, text: str) -> None:
    models = (
        ModelConfig(name="heart", engine=LocalEngine(type="Onnx", onnx=OnnxConfig(family="Hibari"))),
        ModelConfig(name="espeak"),
    )
    routes = (LanguageRoute(language="zh", voice="cmn"), LanguageRoute(language="default", voice="heart"))
    names = catalogue(
        ServerConfig(models=models, language_routing=routes), {name: pool.voices for name, pool in pools.items()}
    )
    decision = select_voice(names, VoiceSelector(None, None), names.default_model)
    found = segments(text, default_language=decision.default_language, routed_languages=decision.routed_languages)
    utterances = route(names, decision, VoiceSelector(None, None), found)
    assert [routed.model for routed in utterances] == ["espeak", "heart", "espeak"]
    guards = {name: BreakerGuard(name, pool) for name, pool in pools.items()}
    plan = SynthesisPlan(utterances, guards, {"heart": (), "espeak": ()}, lambda _: utterances)
    audio, rate_hz = await reply(plan)

    one, other, more = np.split(audio, noted.beginnings[1:])
    chinese, english = (loudness_lkfs(each, rate_hz) for each in (np.concatenate([one, more]), other))
    assert chinese is not None
    assert english is not None
    print(f"\nChinese {chinese:.1f} LKFS, English {english:.1f} LKFS")
    assert abs(chinese - english) <= MOST_LU
    for beginning, inserted in zip(noted.beginnings[1:], noted.inserted, strict=True):
        joined = audio[beginning - 1 : beginning + inserted + 1].astype(np.int32)
        assert np.abs(np.diff(joined)).max() < CLICK


async def reply(plan: SynthesisPlan) -> tuple[Samples, int]:
    stream = SampleStream(plan, StreamHooks(), SchedulingParams())
    await stream.start()
    parts: list[Samples] = []
    while (part := await stream.read()) is not None:
        parts.append(part)
    await stream.stop()
    return np.concatenate(parts), stream.sample_rate_hz
