"""A reply in several utterances lasts as long as the engine's own rendering of the whole text, at every speed."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from tests.support.worker_pools import patient_pool, synthesized
from tts_server.config.schema import ModelConfig, PausesConfig, ServerConfig
from tts_server.inference.client import Utterance
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.routing.catalogue import catalogue
from tts_server.routing.voice_selection import VoiceSelector, route, select_voice
from tts_server.samples import FULL_SCALE, Samples
from tts_server.scheduling.fair_queue import SchedulingParams
from tts_server.synthesis.guard import BreakerGuard
from tts_server.synthesis.plan import StreamHooks, SynthesisPlan
from tts_server.synthesis.sample_stream import SampleStream
from tts_server.text import segments

SPEEDS = (0.25, 0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0)

TEXTS: dict[str, tuple[str, str]] = {
    "short sentences": ("en-us", "Hello. How can I assist? 11"),
    "sentences": (
        "en-us",
        "Good morning to all of you! Where were you today? We have been waiting for hours.",
    ),
    "paragraphs": ("en-us", "The first chapter.\n\nIt was a dark night.\n\nNobody was on the road."),
    "German": ("de", "Guten Tag, mein Freund. Wie geht es dir heute? Ich habe am 3. Juni Geburtstag."),
    "French": ("fr-fr", "Bonjour mon ami. Comment allez-vous ? Je vais très bien."),
    "Chinese": ("cmn", "今天天气很好。你好吗？我很好！"),
}


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    espeak = patient_pool("espeak")
    await espeak.start()
    yield espeak
    await espeak.stop()


async def reply(pool: WorkerPool, voice: str, text: str, speed: float, pauses: PausesConfig | None = None) -> Samples:
    """Synthesize every segment of the text alone, as an engine gets them that declares no passages."""
    model = ModelConfig(name="espeak", pauses=pauses or PausesConfig())
    names = catalogue(ServerConfig(models=(model,)), {"espeak": pool.voices})
    selector = VoiceSelector("espeak", voice, speed=speed)
    decision = select_voice(names, selector, names.model("espeak"))
    found = segments(text, default_language=decision.default_language, routed_languages=[])
    utterances = route(names, decision, selector, found)
    plan = SynthesisPlan(utterances, {"espeak": BreakerGuard("espeak", pool)}, {"espeak": ()}, lambda _: utterances)
    stream = SampleStream(plan, StreamHooks(), SchedulingParams())
    await stream.start()
    parts: list[Samples] = []
    while (part := await stream.read()) is not None:
        parts.append(part)
    await stream.stop()
    return np.concatenate(parts)


@pytest.mark.parametrize(("voice", "text"), TEXTS.values(), ids=TEXTS)
async def test_it_lasts_as_long_as_the_engines_own_text(pool: WorkerPool, voice: str, text: str) -> None:
    for speed in SPEEDS:
        whole = await synthesized(pool, Utterance(text, voice, speed=speed))
        assert (await reply(pool, voice, text, speed)).size == pytest.approx(whole.size, rel=0.1), speed


async def test_lines_are_apart(pool: WorkerPool) -> None:
    audio = await reply(pool, "en-us", "Shopping list:\nmilk\neggs\nbread", 1.0)
    loud = np.flatnonzero(np.abs(audio.astype(np.int32)) > 0.003 * FULL_SCALE)
    gaps_seconds = np.diff(loud) / pool.sample_rate_hz
    assert [round(float(gap), 1) for gap in gaps_seconds if gap > 0.15] == [0.3, 0.3, 0.3]


async def test_pauses_are_a_setting(pool: WorkerPool) -> None:
    text = "One.\nTwo\n\nThree."
    none = PausesConfig(sentence_seconds=0, clause_seconds=0, line_seconds=0, paragraph_seconds=0)
    long = PausesConfig(sentence_seconds=1, clause_seconds=0, line_seconds=0, paragraph_seconds=2)
    short, slow = [(await reply(pool, "en-us", text, 1.0, pauses)).size for pauses in (none, long)]
    assert (slow - short) / pool.sample_rate_hz == pytest.approx(3, abs=0.1)
