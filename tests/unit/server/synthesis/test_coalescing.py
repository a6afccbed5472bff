"""A stream with many subscribers: each receives the same bytes from the beginning, and nothing is left running."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_server.audio import Encoding, EncodingThreads, encode_whole, encoder_for
from tts_server.engines.protocol import VoiceFeatures, Voices
from tts_server.errors import EngineCrashed, EngineError, TTSError
from tts_server.inference.client import Utterance
from tts_server.routing.fallback import FallbackModel
from tts_server.routing.voice_selection import RoutedUtterance
from tts_server.samples import Samples
from tts_server.scheduling.fair_queue import Priority, SchedulingParams
from tts_server.synthesis import coalesced_stream
from tts_server.synthesis.audio_stream import AudioStream
from tts_server.synthesis.coalesced_stream import CoalescedStream, Subscriber
from tts_server.synthesis.coalescing import Coalescer
from tts_server.synthesis.encoded_stream import EncodedStream
from tts_server.synthesis.guard import BreakerGuard
from tts_server.synthesis.plan import StreamHooks, SynthesisPlan
from tts_server.synthesis.sample_stream import SampleStream

RATE_HZ = 24_000
UTTERANCES = 2
PARTS_PER_UTTERANCE = 3
PARTS = UTTERANCES * PARTS_PER_UTTERANCE
PART_SAMPLES = 240

AT_ONCE = SchedulingParams()


def part_of_engine(utterance: int, number: int, sign: int = 1) -> Samples:
    """An utterance begins as the one before it ends: there is nothing to join."""
    return np.full(PART_SAMPLES, sign * (1 + utterance * (PARTS_PER_UTTERANCE - 1) + number) * 2048, np.int16)


ALL = np.concatenate(
    [part_of_engine(utterance, number) for utterance in range(UTTERANCES) for number in range(PARTS_PER_UTTERANCE)]
)
WHOLE = encode_whole(ALL, "pcm", RATE_HZ)
FALLBACK_WHOLE = encode_whole(-ALL, "pcm", RATE_HZ)


class SteppedEngine:
    """An engine client that yields one part per permit, and fails on request."""

    sample_rate_hz = RATE_HZ
    voices: Voices = {}
    passage_characters = 0
    real_time_factor = 0.0
    voice_features = VoiceFeatures()
    pause_scales: Mapping[float, float] = {}
    ready = True

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign
        self.permits = asyncio.Semaphore(0)
        self.fails = False
        """Whether the next part fails; with `fails_again`, every one after it, too."""
        self.fails_again = False
        self.begun = 0
        self.running = 0

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def promote(self, reply: object) -> None:
        pass

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        pass

    async def speak(self, utterance: Utterance, params: SchedulingParams = AT_ONCE) -> AsyncGenerator[Samples]:
        del params
        self.begun += 1
        self.running += 1
        try:
            for number in range(PARTS_PER_UTTERANCE):
                await self.permits.acquire()
                if self.fails:
                    self.fails = self.fails_again
                    raise EngineCrashed("Engine tone ended with SIGSEGV.")
                yield part_of_engine(int(utterance.text), number, self.sign)
        finally:
            self.running -= 1


@dataclass
class Client:
    """A client that reads one part for every `go`, or all that come once it is `released`."""

    stream: AudioStream
    stalled: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    released: bool = False
    takes_whole: bool = False
    """Whether it reads all of the audio as one file."""
    received: bytes = b""
    seconds: float = 0.0
    whole: bool = False
    failure: Exception | None = None
    begun: bool = False

    async def read(self) -> None:
        self.begun = True
        try:
            await self.stream.start()
            if self.takes_whole:
                self.received, self.seconds = await self.stream.whole()
                self.whole = True
                return
            while (part := await self.stream.part()) is not None:
                data, self.seconds = part
                assert data
                self.received += data
                if not self.released:
                    await self.stalled.acquire()
            self.whole = True
        except EngineError as error:
            self.failure = error
        finally:
            await self.stream.close()

    def go(self) -> None:
        self.stalled.release()

    def release(self) -> None:
        self.released = True
        self.stalled.release()


class Scenario:
    """Streams of one reply, and what was cached of it."""

    def __init__(self, format_: str = "pcm", *, fallback: bool = False) -> None:
        self.engine, self.fallback = SteppedEngine(), SteppedEngine(sign=-1)
        self.has_fallback = fallback
        self.coalescer = Coalescer()
        self.threads = EncodingThreads(1)
        self.format = format_
        self.cached: list[tuple[bytes, float]] = []
        self.clients: list[tuple[Client, asyncio.Task[None]]] = []
        self.made: list[CoalescedStream] = []

    def begin(self) -> CoalescedStream:
        self.made.append(CoalescedStream(self.encoded(), self._keep))
        return self.made[-1]

    def encoded(self) -> EncodedStream:
        utterances = [RoutedUtterance("tone", Utterance(str(number), "ann")) for number in range(UTTERANCES)]
        guards = {"tone": BreakerGuard("tone", self.engine), "bass": BreakerGuard("bass", self.fallback)}
        chains = {"tone": (FallbackModel("bass"),) if self.has_fallback else (), "bass": ()}
        plan = SynthesisPlan(
            utterances, guards, chains, lambda _: [replace(utterance, model="bass") for utterance in utterances]
        )
        make_encoder = partial(encoder_for, self.format, RATE_HZ)
        encoding = Encoding(self.format, make_encoder, self.threads)
        return EncodedStream(SampleStream(plan, StreamHooks(), AT_ONCE), encoding)

    def join(self, *, takes_whole: bool = False) -> Client:
        return self._reads(Client(self.coalescer.join("key", self.begin), takes_whole=takes_whole))

    def alone(self, *, takes_whole: bool = False) -> Client:
        """A request that cannot be shared: the only subscriber of its stream."""
        return self._reads(Client(CoalescedStream(self.encoded()).subscribe(), takes_whole=takes_whole))

    def _reads(self, client: Client) -> Client:
        self.clients.append((client, asyncio.create_task(client.read())))
        return client

    def permit(self, parts: int) -> None:
        for _ in range(parts):
            self.engine.permits.release()
            self.fallback.permits.release()

    async def end(self) -> None:
        """Let every client read to the end."""
        for client, _ in self.clients:
            client.release()
        async with asyncio.timeout(5):
            while not all(task.done() for _, task in self.clients):
                self.permit(1)
                await asyncio.sleep(0)

    async def _keep(self, data: bytes, seconds: float) -> None:
        self.cached.append((data, seconds))


@asynccontextmanager
async def scenario() -> AsyncIterator[Scenario]:
    running = Scenario()
    yield running
    await running.end()
    running.threads.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for is in the product, which tells nobody
            await asyncio.sleep(0)


def _has_received(client: Client, length: int) -> bool:
    return len(client.received) == length


async def go_round(times: int = 20) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["join", "join whole", "alone", "alone whole"]), st.just(0)),
    st.tuples(st.sampled_from(["go", "leave", "release"]), st.integers(0, 5)),
    st.tuples(st.just("permit"), st.integers(1, PARTS)),
    st.tuples(st.just("fail"), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.integers(0, 6)),
    st.just(("step", 0)),
)


@settings(max_examples=300)
@given(st.lists(ACTIONS, max_size=40), st.booleans())
async def test_any_interleaving_gives_everyone_the_same_bytes(  # noqa: PLR0912 - a branch for each action
    actions: list[tuple[str, int]], fallback: bool
) -> None:
    others = asyncio.all_tasks()
    run = Scenario(fallback=fallback)
    left: set[int] = set()
    for action, number in actions:
        if action.startswith(("join", "alone")):
            (run.join if action.startswith("join") else run.alone)(takes_whole=action.endswith("whole"))
        elif action == "permit":
            run.permit(number)
        elif action == "fail":
            [run.engine, run.fallback][number].fails = True
        elif action == "wait":
            await go_round(number)
        elif action == "step":  # every client reads one part more
            run.permit(1)
            for client, _ in run.clients:
                client.go()
            await go_round()
        elif run.clients:
            index = number % len(run.clients)
            client, task = run.clients[index]
            if action == "leave":
                left.add(index)
                task.cancel()
                if not client.begun:  # a task that never ran has closed nothing
                    await client.stream.close()
            elif action == "go":
                client.go()
            else:
                client.release()
    await run.end()
    for index, (client, task) in enumerate(run.clients):
        voices = [voice for voice in (WHOLE, FALLBACK_WHOLE) if voice.startswith(client.received)]
        assert voices, "one voice, from its beginning"
        assert client.whole == (client.received in voices) or index in left
        assert client.whole or client.failure is not None or index in left, "every client gets an end"
        assert task.cancelled() or task.exception() is None
    for stream in run.made:
        received = [
            client.received
            for client, _ in run.clients
            if isinstance(client.stream, Subscriber) and client.stream.stream is stream
        ]
        assert all(max(received, key=len).startswith(each) for each in received), "the same audio for all subscribers"
    assert all(data in {WHOLE, FALLBACK_WHOLE} for data, _ in run.cached)
    assert all(seconds == pytest.approx(ALL.size / RATE_HZ) for _, seconds in run.cached)
    await go_round()
    assert run.engine.running == run.fallback.running == 0
    assert len(run.coalescer) == 0
    assert asyncio.all_tasks() == others
    run.threads.close()


async def test_a_late_subscriber_receives_the_audio_from_the_beginning() -> None:
    async with scenario() as run:
        early = run.join()
        early.release()
        run.permit(4)
        await until(lambda: len(early.received) >= 3 * PART_SAMPLES * 2)
        late = run.join()
        late.release()
        await until(lambda: late.received == early.received)
        run.permit(2)
        await run.end()
        assert early.whole
        assert late.whole
        assert (late.received, late.seconds) == (WHOLE, early.seconds)
        assert run.engine.begun == UTTERANCES, "synthesized once"
        assert [data for data, _ in run.cached] == [WHOLE]


async def test_a_subscriber_that_stalls_does_not_hold_up_the_others() -> None:
    async with scenario() as run:
        stalled, other = run.join(), run.join()
        other.release()
        run.permit(1)
        await until(lambda: stalled.received and other.received)
        run.permit(PARTS - 1)
        await until(lambda: other.whole)
        assert len(stalled.received) < len(WHOLE)
        stalled.release()
        await until(lambda: stalled.whole)
        assert stalled.received == WHOLE


async def test_nothing_more_is_encoded_unless_a_subscriber_asks_for_it() -> None:
    async with scenario() as run:
        run.join()
        run.permit(1)
        await go_round()
        run.permit(PARTS - 1)
        await go_round(100)
        assert run.made[0].encoded.seconds == pytest.approx(PART_SAMPLES / RATE_HZ)


async def test_the_synthesis_stops_with_its_last_subscriber_and_not_before() -> None:
    async with scenario() as run:
        clients = [run.join() for _ in range(3)]
        run.permit(1)
        await until(lambda: all(client.received for client in clients))
        for _, task in run.clients[:2]:
            task.cancel()
        await go_round()
        assert run.engine.running == 1
        run.clients[2][1].cancel()
        await until(lambda: run.engine.running == 0)
        assert run.cached == []
        assert run.join() is not None
        assert len(run.made) == 2, "a later request begins a new one"


async def test_a_failure_before_the_first_audio_reaches_every_subscriber() -> None:
    async with scenario() as run:
        clients = [run.join() for _ in range(3)]
        run.engine.fails = True
        run.permit(1)
        await until(lambda: all(client.failure for client in clients))
        assert {type(client.failure) for client in clients} == {EngineCrashed}
        assert run.cached == []


async def test_a_later_failure_cuts_every_subscriber_behind_the_same_part() -> None:
    async with scenario() as run:
        clients = [run.join() for _ in range(3)]
        for client in clients[:2]:
            client.release()
        run.permit(2)
        await until(lambda: len(clients[0].received) == 2 * PART_SAMPLES * 2)
        run.engine.fails = True
        run.permit(1)
        await until(lambda: clients[0].failure and clients[1].failure)
        clients[2].release()
        await until(lambda: clients[2].failure)
        assert {client.received for client in clients} == {WHOLE[: 2 * PART_SAMPLES * 2]}
        assert run.cached == []


@pytest.mark.parametrize("failing_part", range(PARTS))
async def test_a_fallback_synthesizes_everything_as_long_as_nothing_was_sent(failing_part: int) -> None:
    run = Scenario(fallback=True)
    clients = [run.join(takes_whole=True) for _ in range(2)]
    for part in range(PARTS):
        if part == failing_part:
            run.engine.fails = run.engine.fails_again = True
        run.permit(1)
        await go_round()
    await run.end()
    assert {client.received for client in clients} == {FALLBACK_WHOLE}
    assert all(client.stream.fallback_model == "bass" for client in clients)
    run.threads.close()


@pytest.mark.parametrize("sent", range(1, PARTS))
async def test_no_fallback_begins_once_a_part_was_sent(sent: int) -> None:
    run = Scenario(fallback=True)
    streams, whole = run.join(), run.join(takes_whole=True)
    streams.release()
    for part in range(sent):
        run.permit(1)
        await until(partial(_has_received, streams, (part + 1) * PART_SAMPLES * 2))
    run.engine.fails = run.engine.fails_again = True
    await run.end()
    assert streams.received == WHOLE[: sent * PART_SAMPLES * 2]
    assert isinstance(streams.failure, EngineCrashed)
    assert isinstance(whole.failure, EngineCrashed), "it shares the audio of the other one"
    assert run.fallback.begun == 0
    run.threads.close()


async def test_a_subscriber_that_closes_at_once_leaves_nothing_running() -> None:
    run = Scenario()
    stream = run.coalescer.join("key", run.begin)
    await stream.close()
    await stream.close()
    await go_round()
    assert (len(run.coalescer), run.engine.running) == (0, 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    run.threads.close()


async def test_a_stream_that_is_being_stopped_is_not_joined() -> None:
    run = Scenario()
    stream = run.coalescer.join("key", run.begin)
    run.permit(1)
    await go_round()
    leaving = asyncio.create_task(stream.close())
    await asyncio.sleep(0)
    assert not leaving.done()
    client = run.join()
    assert len(run.made) == 2
    await leaving
    await run.end()
    assert client.received == WHOLE
    run.threads.close()


async def test_a_cancelled_stream_is_not_taken_for_complete() -> None:
    run = Scenario()
    client = run.join(takes_whole=True)
    run.permit(2)
    await go_round()
    task = run.made[0]._task
    assert task is not None
    task.cancel()
    await until(lambda: client.failure)
    assert not client.whole
    run.threads.close()


async def test_long_audio_is_dropped_as_it_is_read_and_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalesced_stream, "RETAINED_BYTES", 2 * PART_SAMPLES * 2)
    async with scenario() as run:
        one, other = run.join(), run.join()
        one.release()
        run.permit(3)
        await until(lambda: len(one.received) == 3 * PART_SAMPLES * 2)
        assert not run.made[0].joinable
        late = run.join()
        assert len(run.made) == 2, "it begins anew: the beginning may have been dropped"
        await run.end()
        assert {one.received, other.received, late.received} == {WHOLE}
        assert run.made[0]._parts == []
        assert run.cached == []


async def test_a_lone_request_receives_each_part_as_it_comes_and_nothing_is_retained() -> None:
    async with scenario() as run:
        client = run.alone()
        client.release()
        for number in range(PARTS):
            run.permit(1)
            await until(partial(_has_received, client, (number + 1) * PART_SAMPLES * 2))
            assert isinstance(client.stream, Subscriber)
            assert client.stream.stream._parts == []
        await until(lambda: client.whole)
        assert client.received == WHOLE
        assert run.cached == []


@pytest.mark.parametrize("takes_whole", [False, True])
@pytest.mark.parametrize("failing_part", range(PARTS))
async def test_a_fallback_serves_a_lone_request_as_long_as_nothing_was_sent(
    failing_part: int, takes_whole: bool
) -> None:
    run = Scenario(fallback=True)
    client = run.alone(takes_whole=takes_whole)
    client.release()
    for _ in range(failing_part):
        run.permit(1)
        await go_round()
    run.engine.fails = run.engine.fails_again = True
    await run.end()
    if takes_whole or failing_part == 0:
        assert (client.received, client.stream.fallback_model, client.failure) == (FALLBACK_WHOLE, "bass", None)
    else:
        assert client.received == WHOLE[: failing_part * PART_SAMPLES * 2]
        assert isinstance(client.failure, EngineCrashed)
    run.threads.close()


async def test_a_wav_is_cached_with_its_length() -> None:
    run = Scenario("wav")
    client = run.join()
    await run.end()
    assert client.received[40:44] == b"\xff\xff\xff\xff", "as it was streamed"
    assert [data for data, _ in run.cached] == [encode_whole(ALL, "wav", RATE_HZ)]
    run.threads.close()
