"""A sentence in two languages is spoken by two engines as if by one: equally loud, and joined without a click."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from tests.support.timeouts import HANG_SECONDS
from tts_server.config.schema import LanguageRoute, LocalEngine, ModelConfig, OnnxConfig, ServerConfig
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.routing.catalogue import catalogue
from tts_server.routing.voice_selection import VoiceSelector, route, select_voice
from tts_server.samples import FULL_SCALE, Samples
from tts_server.scheduling.fair_queue import SchedulingParams
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
SOUND = 0.02 * FULL_SCALE
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


@pytest.fixture
def beginnings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Positions of the beginnings of utterances in the samples of the reply."""
    found: list[int] = []
    written = 0
    begin, write = SampleBuffer.begin_utterance, SampleBuffer.write

    def noted_begin(self: SampleBuffer) -> None:
        found.append(written)
        begin(self)

    def counted_write(self: SampleBuffer, samples: Samples) -> None:
        nonlocal written
        written += samples.size
        write(self, samples)

    monkeypatch.setattr(SampleBuffer, "begin_utterance", noted_begin)
    monkeypatch.setattr(SampleBuffer, "write", counted_write)
    return found


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_two_engines_sound_as_one(pools: dict[str, WorkerPool], beginnings: list[int], text: str) -> None:
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

    one, other, more = np.split(audio, beginnings[1:])
    chinese, english = (loudness_lkfs(each, rate_hz) for each in (np.concatenate([one, more]), other))
    assert chinese is not None
    assert english is not None
    print(f"\nChinese {chinese:.1f} LKFS, English {english:.1f} LKFS")
    assert abs(chinese - english) <= MOST_LU
    for beginning in beginnings[1:]:
        assert step_at(audio, beginning, rate_hz) < CLICK


async def reply(plan: SynthesisPlan) -> tuple[Samples, int]:
    stream = SampleStream(plan, StreamHooks(), SchedulingParams())
    await stream.start()
    parts: list[Samples] = []
    while (part := await stream.read()) is not None:
        parts.append(part)
    await stream.stop()
    return np.concatenate(parts), stream.sample_rate_hz


def step_at(audio: Samples, beginning: int, rate_hz: int) -> int:
    """Return the largest step at a join: into the other utterance, and on until that has a sound of its own."""
    joined = audio[beginning - 1 : beginning + rate_hz // 5].astype(np.int32)
    sounds = np.flatnonzero(np.abs(joined[1:]) > SOUND)
    quiet = joined[: max(2, 1 + int(sounds[0]))] if sounds.size else joined
    return int(np.abs(np.diff(quiet)).max())
