"""A worker writes numbers in words for engines that ask for it, and reports what it could not write.

The engines of these tests make as much audio as their text has characters.
"""

import asyncio

import pytest

from tests.support.batching_engines import PART
from tests.support.timeouts import HANG_SECONDS
from tests.support.tone_engines import ToneEngine
from tests.support.worker_pools import synthesized
from tts_server.inference.client import Utterance
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.scheduling.batching import BatchPolicy

TONE = f"{ToneEngine.__module__}:{ToneEngine.__name__}"
CHARACTER_SAMPLES = 800
TOO_LONG = "5" * 200


async def characters(pool: WorkerPool, *texts: str, voice: str = "beep", language: str | None = None) -> list[int]:
    """The length of each text as the engine got it, all asked for at once."""
    found = await asyncio.gather(*(synthesized(pool, Utterance(text, voice, language)) for text in texts))
    return [samples.size // CHARACTER_SAMPLES for samples in found]


def pool_of(engine: str, languages: tuple[str, ...] | None, unread: list[str]) -> WorkerPool:
    return WorkerPool(
        engine,
        first_audio_timeout_seconds=HANG_SECONDS,
        normalized_languages=languages,
        on_unread=unread.append,
    )


async def test_an_engine_that_asks_for_words_gets_them() -> None:
    unread: list[str] = []
    pool = pool_of("tests.support.tone_engines:WordsEngine", None, unread)
    await pool.start()
    try:
        assert await characters(pool, "loaded?") == [1], "a worker starts without the grammars"
        assert await characters(pool, "7 cats", "cats") == [len("seven cats"), len("cats")]
        assert await characters(pool, "loaded?") == [2]
        assert unread == []
        assert await characters(pool, TOO_LONG, "7 cats") == [len(TOO_LONG), len("seven cats")]
        assert unread == ["too_long"]
        assert await characters(pool, "7 cats", voice="low", language="de") == [len("7 cats")]
    finally:
        await pool.stop()


@pytest.mark.parametrize("languages", [None, (), ("zh",)])
async def test_an_engine_that_does_not_ask_gets_the_text_as_it_is(languages: tuple[str, ...] | None) -> None:
    pool = pool_of(TONE, languages, [])
    await pool.start()
    try:
        assert await characters(pool, "7 cats") == [len("7 cats")]
    finally:
        await pool.stop()


async def test_the_configuration_decides_for_an_engine_that_does_not_ask() -> None:
    pool = pool_of(TONE, ("en",), [])
    await pool.start()
    try:
        assert await characters(pool, "7 cats") == [len("seven cats")]
    finally:
        await pool.stop()


async def test_members_of_a_batch_get_words_too() -> None:
    unread: list[str] = []
    pool = WorkerPool(
        "tests.support.batching_engines:BatchingEngine",
        first_audio_timeout_seconds=HANG_SECONDS,
        batching=BatchPolicy(8, 0.0),
        normalized_languages=("en",),
        on_unread=unread.append,
    )
    await pool.start()
    try:
        texts = ("slow one", "7 cats", TOO_LONG)
        found = await asyncio.gather(*(synthesized(pool, Utterance(text, "ann")) for text in texts))
        assert [samples.size // PART for samples in found] == [len("slow one"), len("seven cats"), len(TOO_LONG)]
        assert unread == ["too_long"]
    finally:
        await pool.stop()
