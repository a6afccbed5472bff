"""A guard reports to its breaker how each attempt ended."""

import asyncio
from contextlib import suppress

import pytest

from tests.support.server_app import ToneClient
from tts_server.circuit_breaker import BreakerSettings, State
from tts_server.errors import EngineCrashed, EngineGivenUp, InvalidAudio, Overloaded, TTSError
from tts_server.scheduling.fair_queue import Priority
from tts_server.synthesis.guard import BreakerGuard


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Busy(ToneClient):
    """Others wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = True
        self.sent_on: list[tuple[TTSError, Priority | None]] = []

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        self.sent_on.append((error, priority))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> BreakerGuard:
    return BreakerGuard("tone", Busy(), settings=BreakerSettings(failures_to_open=3, open_seconds=5), now=clock)


def attempt(guard: BreakerGuard, error: BaseException | None) -> None:
    with suppress(*([] if error is None else [type(error)])), guard.attempt():
        if error is not None:
            raise error


LEFT = [asyncio.CancelledError(), GeneratorExit(), Overloaded("Too much is waiting.")]


@pytest.mark.parametrize("left", LEFT, ids=repr)
def test_whoever_leaves_or_is_refused_says_nothing_about_the_engine(guard: BreakerGuard, left: BaseException) -> None:
    for error in (EngineCrashed("x"), InvalidAudio("x"), left, left, left):
        attempt(guard, error)
    assert guard.breaker.state is State.CLOSED, "they are no failures"
    attempt(guard, EngineCrashed("x"))
    assert state(guard) is State.OPEN, "and no success between failures"


@pytest.mark.parametrize("left", LEFT, ids=repr)
def test_a_probe_whose_caller_leaves_leaves_room_for_the_next(
    guard: BreakerGuard, clock: Clock, left: BaseException
) -> None:
    for _ in range(3):
        attempt(guard, EngineCrashed("x"))
    with pytest.raises(EngineGivenUp):
        guard.attempt()
    clock.seconds += 5
    attempt(guard, left)
    assert state(guard) is State.HALF_OPEN
    attempt(guard, None)
    assert state(guard) is State.CLOSED


def test_an_attempt_made_all_the_same_counts_for_nothing(guard: BreakerGuard) -> None:
    for _ in range(3):
        attempt(guard, EngineCrashed("x"))
    with guard.attempt(anyway=True):
        assert not guard.allows
    assert state(guard) is State.OPEN


@pytest.mark.parametrize("has_standby", [True, False])
def test_who_waits_is_sent_on_where_there_is_somebody_else(
    guard: BreakerGuard, clock: Clock, *, has_standby: bool
) -> None:
    guard.has_standby = has_standby
    busy = guard.engine_client
    assert isinstance(busy, Busy)
    for _ in range(2):
        attempt(guard, EngineCrashed("x"))
    assert busy.sent_on == []
    attempt(guard, EngineCrashed("x"))
    assert [type(error) for error, _ in busy.sent_on] == [EngineGivenUp] * has_standby
    clock.seconds += 5
    attempt(guard, EngineCrashed("x"))
    assert len(busy.sent_on) == 2 * has_standby, "those who came since go, too"
    assert {priority for _, priority in busy.sent_on} <= {None}, "all of them"


def state(guard: BreakerGuard) -> State:
    return guard.breaker.state
