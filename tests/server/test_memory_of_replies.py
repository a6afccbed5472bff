"""A reply's memory goes with its client, at once: nothing of it waits in a reference cycle for a full collection."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from tests.support.server_app import SENTENCES, Call, RunningApp, config, running_app, until
from tests.support.worker_pools import beep, failing_pool, patient_pool
from tts_server.config.schema import FallbackConfig, FallbackVoice
from tts_server.errors import EngineCrashed, TTSError
from tts_server.http.request_context import ResponseAborted
from tts_server.inference.client import Utterance
from tts_server.inference.pool.batch import Batch, Member
from tts_server.inference.pool.frame_reader import FrameReader
from tts_server.inference.pool.slot import QueuedUtterance
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.inference.wire.frames import PipeEnded
from tts_server.scheduling.batching import BatchPolicy
from tts_server.scheduling.fair_queue import SchedulingParams
from tts_server.synthesis.audio_stream import CachedAudio
from tts_server.synthesis.coalesced_stream import CoalescedStream, Subscriber
from tts_server.synthesis.encoded_stream import EncodedStream
from tts_server.synthesis.sample_buffer import SampleBuffer
from tts_server.synthesis.sample_stream import SampleStream

OF_A_REPLY = (
    CachedAudio, CoalescedStream, Subscriber, EncodedStream, SampleStream, SampleBuffer, QueuedUtterance, Batch, Member,
    FrameReader, TTSError, PipeEnded, asyncio.CancelledError,
)  # fmt: skip
LONG = SENTENCES * 20


class Memory:
    """The objects of replies that are in memory, without the garbage collector's help."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        gc.collect()
        self._before = self._alive()

    async def holds_no_reply(self) -> None:
        for _ in range(100):  # tasks end, and their callbacks run
            await asyncio.sleep(0.001)
        assert self._alive() - self._before == Counter()

    def _alive(self) -> Counter[str]:
        return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, OF_A_REPLY))


@pytest.fixture
def memory() -> Iterator[Memory]:
    gc.disable()
    try:
        yield Memory()
    finally:
        gc.enable()


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """The model `tone`, for which `bass` speaks when it fails."""
    voices = (FallbackVoice(language="en", voice="mei"), FallbackVoice(language="de", voice="mei"))
    settings = config(tmp_path)
    tone, bass = settings.models
    tone = tone.model_copy(update={"fallback": FallbackConfig(model="bass", voices=voices)})
    async with running_app(config(tmp_path, models=(tone, bass))) as running:
        yield running


def speech(app: RunningApp, **fields: object) -> Call:
    body = {"model": "tts-1", "voice": "alloy", "input": LONG, "response_format": "pcm"} | fields
    return Call(app, body)


async def hang_up(call: Call, when: int) -> None:
    """Hang up after so many messages, having read nothing after them."""
    asked = asyncio.create_task(call.run())
    await until(lambda: len(call.sent) >= when)
    call.stalled.clear()
    for _ in range(200):  # the synthesis runs ahead
        await asyncio.sleep(0)
    call.gone.set()
    await asked
    await asyncio.sleep(0)


@pytest.mark.parametrize("response_format", ["pcm", "wav", "mp3", "opus"])
async def test_a_reply_that_is_read_to_its_end_leaves_nothing(
    acme: RunningApp, memory: Memory, response_format: str
) -> None:
    assert (await acme.speech(input=LONG, response_format=response_format)).status_code == 200
    await memory.holds_no_reply()


@pytest.mark.parametrize("fields", [{}, {"stream_format": "sse"}, {"response_format": "mp3"}])
async def test_a_reader_that_hangs_up_leaves_nothing(acme: RunningApp, memory: Memory, fields: dict[str, str]) -> None:
    for _ in range(3):
        await hang_up(speech(acme, **fields), 2)
    await memory.holds_no_reply()


async def test_who_hangs_up_before_the_first_sound_leaves_nothing(acme: RunningApp, memory: Memory) -> None:
    acme.engine_clients["tone"].gate.clear()
    await hang_up(speech(acme), 0)
    await memory.holds_no_reply()


@pytest.mark.parametrize(("from_utterance", "fallback_fails"), [(0, False), (0, True), (1, False), (1, True)])
async def test_a_reply_that_fails_leaves_nothing(
    acme: RunningApp, memory: Memory, from_utterance: int, fallback_fails: bool
) -> None:
    """Before the first sound, and after it, when the reply ends as if the connection had broken."""

    def fail(utterance: int, part: int) -> None:
        if utterance >= from_utterance:
            raise EngineCrashed("It died.")

    acme.engine_clients["tone"].fail = fail
    if fallback_fails:
        acme.engine_clients["bass"].fail = fail
    for fields in ({}, {"stream_format": "sse"}, {"response_format": "mp3"}):
        with suppress(ResponseAborted):
            await speech(acme, **fields).run()
    await memory.holds_no_reply()


async def test_two_readers_of_one_synthesis_that_fails_leave_nothing(acme: RunningApp, memory: Memory) -> None:
    tone = acme.engine_clients["tone"]
    tone.fail = acme.engine_clients["bass"].fail = fail_at_once
    tone.gate.clear()
    asked = [asyncio.create_task(speech(acme).run()) for _ in range(2)]
    await until(lambda: tone.spoken)
    tone.gate.set()
    await asyncio.gather(*asked)
    del asked
    await memory.holds_no_reply()


def fail_at_once(utterance: int, part: int) -> None:
    raise EngineCrashed("It died.")


# The worker pool.


async def outcome(pool: WorkerPool, text: str, params: SchedulingParams, voice: str = "beep") -> str:
    try:
        async for _ in pool.speak(Utterance(text, voice), params):
            pass
    except TTSError as error:
        return error.code
    return "spoken"


@pytest.mark.parametrize(("text", "expected"), [("ok", "spoken"), ("raise", "engine_error"), ("nan", "engine_garbage")])
async def test_an_utterance_leaves_nothing_in_the_pool(memory: Memory, text: str, expected: str) -> None:
    async with failing_pool() as pool:
        memory.begin()
        assert await outcome(pool, text, SchedulingParams()) == expected
        await memory.holds_no_reply()


async def test_utterances_that_wait_in_vain_leave_nothing_in_the_pool(memory: Memory) -> None:
    async with failing_pool() as pool:
        memory.begin()
        async with aclosing(pool.speak(beep("stall"))) as playing:
            await anext(playing)
            refused = [asyncio.create_task(outcome(pool, "queued", SchedulingParams())) for _ in range(3)]
            expired = asyncio.create_task(outcome(pool, "expired", SchedulingParams(max_wait_seconds=0.05)))
            await until(lambda: pool.waiting == 4)
            assert await expired == "overloaded"
            pool.refuse_waiting(EngineCrashed("It died."))
            assert await asyncio.gather(*refused) == ["engine_crashed"] * 3
            cancelled = asyncio.create_task(outcome(pool, "cancelled", SchedulingParams()))
            await until(lambda: pool.waiting == 1)
            cancelled.cancel()
            await asyncio.wait([cancelled])
        del refused, expired, cancelled
        await memory.holds_no_reply()


async def test_a_worker_that_crashes_leaves_nothing_but_its_successor(memory: Memory) -> None:
    async with failing_pool() as pool:
        memory.begin()
        assert await outcome(pool, "exit", SchedulingParams()) == "engine_crashed"
        assert await outcome(pool, "ok", SchedulingParams()) == "spoken"
        await memory.holds_no_reply()


@pytest.mark.parametrize("worst", ["refuse", "raise", "crash", "nan"])
async def test_a_batch_leaves_nothing_whatever_becomes_of_its_members(memory: Memory, worst: str) -> None:
    batching = BatchPolicy(8, 0.5)
    pool = patient_pool("tests.support.batching_engines:BatchingEngine", batching=batching)
    await pool.start()
    try:
        memory.begin()
        asked = [
            asyncio.create_task(outcome(pool, text, SchedulingParams(), voice="ann"))
            for text in ("slow one", "ok", worst, "gone")
        ]
        await until(lambda: pool._slots[0].worker.pid and not pool._dispatcher.idle)
        asked[-1].cancel()
        await asyncio.wait(asked)
        del asked
        await until(lambda: len(pool._dispatcher.idle) == 1)
        await memory.holds_no_reply()
    finally:
        await pool.stop()
