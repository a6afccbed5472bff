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
    """An engine client with queued utterances."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = True
        self.refused: list[tuple[TTSError, Priority | None]] = []

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        self.refused.append((error, priority))


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
def test_a_client_that_leaves_or_is_refused_counts_neither_as_failure_nor_as_success(
    guard: BreakerGuard, left: BaseException
) -> None:
    for error in (EngineCrashed("x"), InvalidAudio("x"), left, left, left):
        attempt(guard, error)
    assert guard.breaker.state is State.CLOSED, "they are no failures"
    attempt(guard, EngineCrashed("x"))
    assert state(guard) is State.OPEN, "and no success between failures"


@pytest.mark.parametrize("left", LEFT, ids=repr)
def test_a_probe_whose_client_leaves_makes_room_for_the_next(
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


def test_an_attempt_despite_the_breaker_does_not_count(guard: BreakerGuard) -> None:
    for _ in range(3):
        attempt(guard, EngineCrashed("x"))
    with guard.attempt(despite_breaker=True):
        assert not guard.allows
    assert state(guard) is State.OPEN


@pytest.mark.parametrize("has_fallback", [True, False])
def test_queued_utterances_go_to_the_fallback_at_once_if_there_is_one(
    guard: BreakerGuard, clock: Clock, *, has_fallback: bool
) -> None:
    guard.has_fallback = has_fallback
    busy = guard.engine_client
    assert isinstance(busy, Busy)
    for _ in range(2):
        attempt(guard, EngineCrashed("x"))
    assert busy.refused == []
    attempt(guard, EngineCrashed("x"))
    assert [type(error) for error, _ in busy.refused] == [EngineGivenUp] * has_fallback
    clock.seconds += 5
    attempt(guard, EngineCrashed("x"))
    assert len(busy.refused) == 2 * has_fallback, "those queued since, too"
    assert {priority for _, priority in busy.refused} <= {None}, "all of them"


def state(guard: BreakerGuard) -> State:
    return guard.breaker.state
