"""A sound that many hear: everyone gets the same bytes from the beginning, and nothing is left running."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_server.audio import Encoding, EncodingThreads, encode_whole, encoder_for
from tts_server.errors import EngineCrashed, EngineError, TTSError
from tts_server.inference.client import Samples, Utterance, Voices
from tts_server.routing.fallback import FallbackModel
from tts_server.routing.voice_selection import RoutedUtterance
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
LINES = 2
PARTS_OF_LINE = 3
PARTS = LINES * PARTS_OF_LINE
PART_SAMPLES = 240

AT_ONCE = SchedulingParams()


def part_of_engine(line: int, number: int, sign: int = 1) -> Samples:
    return np.full(PART_SAMPLES, sign * (1 + line * PARTS_OF_LINE + number) * 2048, np.int16)


ALL = np.concatenate([part_of_engine(line, number) for line in range(LINES) for number in range(PARTS_OF_LINE)])
WHOLE = encode_whole(ALL, "pcm", RATE_HZ)
STANDBYS_WHOLE = encode_whole(-ALL, "pcm", RATE_HZ)


class Stepping:
    """An engine that yields a part when it is told to, and fails when it is told to."""

    sample_rate_hz = RATE_HZ
    voices: Voices = {}
    passage_characters = 0
    ready = True

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign
        self.permits = asyncio.Semaphore(0)
        self.fails = False
        """At its next part, once, or from then on."""
        self.fails_again = False
        self.begun = 0
        self.running = 0

    async def start(self) -> None:
        """Nothing to load."""

    async def stop(self) -> None:
        """Nothing to end."""

    def promote(self, reply: object) -> None:
        """Nothing is queued."""

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        """Nothing is queued."""

    async def speak(self, utterance: Utterance, params: SchedulingParams = AT_ONCE) -> AsyncGenerator[Samples]:
        del params
        self.begun += 1
        self.running += 1
        try:
            for number in range(PARTS_OF_LINE):
                await self.permits.acquire()
                if self.fails:
                    self.fails = self.fails_again
                    raise EngineCrashed("Engine tone ended with SIGSEGV.")
                yield part_of_engine(int(utterance.text), number, self.sign)
        finally:
            self.running -= 1


@dataclass
class Ear:
    """A request that listens: it takes a part for every `go`, or all that come once it is `released`."""

    stream: AudioStream
    stalled: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    released: bool = False
    takes_whole: bool = False
    """It sends nothing before the end."""
    heard: bytes = b""
    seconds: float = 0.0
    whole: bool = False
    failure: Exception | None = None
    begun: bool = False

    async def listen(self) -> None:
        self.begun = True
        try:
            await self.stream.start()
            if self.takes_whole:
                self.heard, self.seconds = await self.stream.whole()
                self.whole = True
                return
            while (part := await self.stream.part()) is not None:
                data, self.seconds = part
                assert data
                self.heard += data
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


class ServingSnapshot:
    """Flights of one sound, and what was kept of it."""

    def __init__(self, format_: str = "pcm", *, standby: bool = False) -> None:
        self.engine, self.standby = Stepping(), Stepping(sign=-1)
        self.has_standby = standby
        self.coalescer = Coalescer()
        self.threads = EncodingThreads(1)
        self.format = format_
        self.kept: list[tuple[bytes, float]] = []
        self.ears: list[tuple[Ear, asyncio.Task[None]]] = []
        self.made: list[CoalescedStream] = []

    def begin(self) -> CoalescedStream:
        self.made.append(CoalescedStream(self.encoded(), self._keep))
        return self.made[-1]

    def encoded(self) -> EncodedStream:
        lines = [RoutedUtterance("tone", Utterance(str(number), "ann")) for number in range(LINES)]
        guards = {"tone": BreakerGuard("tone", self.engine), "bass": BreakerGuard("bass", self.standby)}
        chains = {"tone": (FallbackModel("bass"),) if self.has_standby else (), "bass": ()}
        plan = SynthesisPlan(lines, guards, chains, lambda _: [replace(line, model="bass") for line in lines])
        make_encoder = partial(encoder_for, self.format, RATE_HZ)
        encoding = Encoding(self.format, make_encoder, self.threads)
        return EncodedStream(SampleStream(plan, StreamHooks(), AT_ONCE), encoding)

    def join(self, *, takes_whole: bool = False) -> Ear:
        return self._hears(Ear(self.coalescer.join("key", self.begin), takes_whole=takes_whole))

    def alone(self, *, takes_whole: bool = False) -> Ear:
        """One that shares its sound with nobody."""
        return self._hears(Ear(CoalescedStream(self.encoded()).subscribe(), takes_whole=takes_whole))

    def _hears(self, ear: Ear) -> Ear:
        self.ears.append((ear, asyncio.create_task(ear.listen())))
        return ear

    def play(self, parts: int) -> None:
        for _ in range(parts):
            self.engine.permits.release()
            self.standby.permits.release()

    async def end(self) -> None:
        """Everyone who still listens hears all there is."""
        for ear, _ in self.ears:
            ear.release()
        async with asyncio.timeout(5):
            while not all(task.done() for _, task in self.ears):
                self.play(1)
                await asyncio.sleep(0)

    async def _keep(self, data: bytes, seconds: float) -> None:
        self.kept.append((data, seconds))


@asynccontextmanager
async def snapshot() -> AsyncIterator[ServingSnapshot]:
    running = ServingSnapshot()
    yield running
    await running.end()
    running.threads.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for is in the product, which tells nobody
            await asyncio.sleep(0)


def _has_heard(ear: Ear, length: int) -> bool:
    return len(ear.heard) == length


async def go_round(times: int = 20) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["join", "join whole", "alone", "alone whole"]), st.just(0)),
    st.tuples(st.sampled_from(["go", "leave", "release"]), st.integers(0, 5)),
    st.tuples(st.just("play"), st.integers(1, PARTS)),
    st.tuples(st.just("fail"), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.integers(0, 6)),
    st.just(("step", 0)),
)


@settings(max_examples=300)
@given(st.lists(ACTIONS, max_size=40), st.booleans())
async def test_any_interleaving_gives_everyone_the_same_bytes(  # noqa: PLR0912 - a branch for each action
    actions: list[tuple[str, int]], standby: bool
) -> None:
    others = asyncio.all_tasks()
    run = ServingSnapshot(standby=standby)
    left: set[int] = set()
    for action, number in actions:
        if action.startswith(("join", "alone")):
            (run.join if action.startswith("join") else run.alone)(takes_whole=action.endswith("whole"))
        elif action == "play":
            run.play(number)
        elif action == "fail":
            [run.engine, run.standby][number].fails = True
        elif action == "wait":
            await go_round(number)
        elif action == "step":  # everyone hears one part more
            run.play(1)
            for ear, _ in run.ears:
                ear.go()
            await go_round()
        elif run.ears:
            index = number % len(run.ears)
            ear, task = run.ears[index]
            if action == "leave":
                left.add(index)
                task.cancel()
                if not ear.begun:  # a task that never ran has cleaned nothing up
                    await ear.stream.close()
            elif action == "go":
                ear.go()
            else:
                ear.release()
    await run.end()
    for index, (ear, task) in enumerate(run.ears):
        voices = [voice for voice in (WHOLE, STANDBYS_WHOLE) if voice.startswith(ear.heard)]
        assert voices, "one voice, from its beginning"
        assert ear.whole == (ear.heard in voices) or index in left
        assert ear.whole or ear.failure is not None or index in left, "nobody is left without an end"
        assert task.cancelled() or task.exception() is None
    for stream in run.made:
        heard = [ear.heard for ear, _ in run.ears if isinstance(ear.stream, Subscriber) and ear.stream.stream is stream]
        assert all(max(heard, key=len).startswith(each) for each in heard), "one sound for all of its listeners"
    assert all(data in {WHOLE, STANDBYS_WHOLE} for data, _ in run.kept)
    assert all(seconds == pytest.approx(ALL.size / RATE_HZ) for _, seconds in run.kept)
    await go_round()
    assert run.engine.running == run.standby.running == 0
    assert len(run.coalescer) == 0
    assert asyncio.all_tasks() == others
    run.threads.close()


async def test_who_comes_late_hears_it_from_the_beginning() -> None:
    async with snapshot() as run:
        early = run.join()
        early.release()
        run.play(4)
        await until(lambda: len(early.heard) >= 3 * PART_SAMPLES * 2)
        late = run.join()
        late.release()
        await until(lambda: late.heard == early.heard)
        run.play(2)
        await run.end()
        assert early.whole
        assert late.whole
        assert (late.heard, late.seconds) == (WHOLE, early.seconds)
        assert run.engine.begun == LINES, "spoken once"
        assert [data for data, _ in run.kept] == [WHOLE]


async def test_a_listener_that_stalls_stops_nobody() -> None:
    async with snapshot() as run:
        stalled, other = run.join(), run.join()
        other.release()
        run.play(1)
        await until(lambda: stalled.heard and other.heard)
        run.play(PARTS - 1)
        await until(lambda: other.whole)
        assert len(stalled.heard) < len(WHOLE)
        stalled.release()
        await until(lambda: stalled.whole)
        assert stalled.heard == WHOLE


async def test_without_anyone_asking_nothing_more_is_encoded() -> None:
    async with snapshot() as run:
        run.join()
        run.play(1)
        await go_round()
        run.play(PARTS - 1)
        await go_round(100)
        assert run.made[0].encoded.seconds == pytest.approx(PART_SAMPLES / RATE_HZ)


async def test_it_stops_when_the_last_one_leaves_and_not_before() -> None:
    async with snapshot() as run:
        ears = [run.join() for _ in range(3)]
        run.play(1)
        await until(lambda: all(ear.heard for ear in ears))
        for _, task in run.ears[:2]:
            task.cancel()
        await go_round()
        assert run.engine.running == 1
        run.ears[2][1].cancel()
        await until(lambda: run.engine.running == 0)
        assert run.kept == []
        assert run.join() is not None
        assert len(run.made) == 2, "and who comes then begins anew"


async def test_a_failure_before_the_first_sound_is_everyones() -> None:
    async with snapshot() as run:
        ears = [run.join() for _ in range(3)]
        run.engine.fails = True
        run.play(1)
        await until(lambda: all(ear.failure for ear in ears))
        assert {type(ear.failure) for ear in ears} == {EngineCrashed}
        assert run.kept == []


async def test_a_failure_later_cuts_everyone_after_what_there_is() -> None:
    async with snapshot() as run:
        ears = [run.join() for _ in range(3)]
        for ear in ears[:2]:
            ear.release()
        run.play(2)
        await until(lambda: len(ears[0].heard) == 2 * PART_SAMPLES * 2)
        run.engine.fails = True
        run.play(1)
        await until(lambda: ears[0].failure and ears[1].failure)
        ears[2].release()
        await until(lambda: ears[2].failure)
        assert {ear.heard for ear in ears} == {WHOLE[: 2 * PART_SAMPLES * 2]}
        assert run.kept == []


@pytest.mark.parametrize("failing_part", range(PARTS))
async def test_a_standby_speaks_for_those_to_whom_nothing_was_sent(failing_part: int) -> None:
    run = ServingSnapshot(standby=True)
    ears = [run.join(takes_whole=True) for _ in range(2)]
    for part in range(PARTS):
        if part == failing_part:
            run.engine.fails = run.engine.fails_again = True
        run.play(1)
        await go_round()
    await run.end()
    assert {ear.heard for ear in ears} == {STANDBYS_WHOLE}
    assert all(ear.stream.fallback_model == "bass" for ear in ears)
    run.threads.close()


@pytest.mark.parametrize("sent", range(1, PARTS))
async def test_nobody_else_speaks_once_a_part_was_sent(sent: int) -> None:
    run = ServingSnapshot(standby=True)
    streams, whole = run.join(), run.join(takes_whole=True)
    streams.release()
    for part in range(sent):
        run.play(1)
        await until(partial(_has_heard, streams, (part + 1) * PART_SAMPLES * 2))
    run.engine.fails = run.engine.fails_again = True
    await run.end()
    assert streams.heard == WHOLE[: sent * PART_SAMPLES * 2]
    assert isinstance(streams.failure, EngineCrashed)
    assert isinstance(whole.failure, EngineCrashed), "it shares the sound of the other one"
    assert run.standby.begun == 0
    run.threads.close()


async def test_who_leaves_at_once_leaves_nothing_running() -> None:
    run = ServingSnapshot()
    sound = run.coalescer.join("key", run.begin)
    await sound.close()
    await sound.close()
    await go_round()
    assert (len(run.coalescer), run.engine.running) == (0, 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    run.threads.close()


async def test_nobody_joins_what_is_being_stopped() -> None:
    run = ServingSnapshot()
    sound = run.coalescer.join("key", run.begin)
    run.play(1)
    await go_round()
    leaving = asyncio.create_task(sound.close())
    await asyncio.sleep(0)
    assert not leaving.done()
    ear = run.join()
    assert len(run.made) == 2
    await leaving
    await run.end()
    assert ear.heard == WHOLE
    run.threads.close()


async def test_nobody_takes_what_was_stopped_for_the_whole() -> None:
    run = ServingSnapshot()
    ear = run.join(takes_whole=True)
    run.play(2)
    await go_round()
    run.made[0]._task.cancel()
    await until(lambda: ear.failure)
    assert not ear.whole
    run.threads.close()


async def test_what_grows_too_long_is_forgotten_as_it_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalesced_stream, "RETAINED_BYTES", 2 * PART_SAMPLES * 2)
    async with snapshot() as run:
        one, other = run.join(), run.join()
        one.release()
        run.play(3)
        await until(lambda: len(one.heard) == 3 * PART_SAMPLES * 2)
        assert not run.made[0].joinable
        late = run.join()
        assert len(run.made) == 2, "it begins anew: the beginning may be gone"
        await run.end()
        assert {one.heard, other.heard, late.heard} == {WHOLE}
        assert run.made[0]._parts == []
        assert run.kept == []


async def test_who_hears_alone_hears_all_of_it_as_it_comes() -> None:
    async with snapshot() as run:
        ear = run.alone()
        ear.release()
        for number in range(PARTS):
            run.play(1)
            await until(partial(_has_heard, ear, (number + 1) * PART_SAMPLES * 2))
        await until(lambda: ear.whole)
        assert ear.heard == WHOLE
        assert run.kept == []


@pytest.mark.parametrize("takes_whole", [False, True])
@pytest.mark.parametrize("failing_part", range(PARTS))
async def test_a_standby_speaks_for_who_hears_alone_as_long_as_nothing_was_sent(
    failing_part: int, takes_whole: bool
) -> None:
    run = ServingSnapshot(standby=True)
    ear = run.alone(takes_whole=takes_whole)
    ear.release()
    for _ in range(failing_part):
        run.play(1)
        await go_round()
    run.engine.fails = run.engine.fails_again = True
    await run.end()
    if takes_whole or failing_part == 0:
        assert (ear.heard, ear.stream.fallback_model, ear.failure) == (STANDBYS_WHOLE, "bass", None)
    else:
        assert ear.heard == WHOLE[: failing_part * PART_SAMPLES * 2]
        assert isinstance(ear.failure, EngineCrashed)
    run.threads.close()


async def test_a_wav_is_kept_with_its_length() -> None:
    run = ServingSnapshot("wav")
    ear = run.join()
    await run.end()
    assert ear.heard[40:44] == b"\xff\xff\xff\xff", "as it was streamed"
    assert [data for data, _ in run.kept] == [encode_whole(ALL, "wav", RATE_HZ)]
    run.threads.close()
