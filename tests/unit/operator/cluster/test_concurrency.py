"""The API server says how many writes it takes, and they wait as long as it asks."""

from __future__ import annotations

import asyncio

import pytest

from tts_operator.cluster.concurrency import HIGHEST, INITIAL, LONGEST_PAUSE_SECONDS, ConcurrencyLimit, WriteGate
from tts_operator.cluster.errors import Overloaded, Unreachable, error_of


def test_answers_raise_the_limit_and_a_429_halves_it() -> None:
    limit = ConcurrencyLimit(8)
    for _ in range(9):
        limit.answered()
    assert limit.limit == 9
    limit.overloaded(0.0, 1.0)
    assert limit.limit == 4
    for _ in range(10_000):
        limit.answered()
    assert limit.limit == HIGHEST


def test_429s_of_writes_that_were_sent_together_count_once() -> None:
    limit = ConcurrencyLimit(16)
    for _ in range(16):
        limit.overloaded(0.0, 1.0)
    assert limit.limit == 8
    limit.overloaded(1.5, 1.0)
    assert limit.limit == 4


def test_one_write_is_always_possible_and_no_pause_is_endless() -> None:
    limit = ConcurrencyLimit(2)
    for turn in range(10):
        limit.overloaded(turn * 1000.0, 3600.0)
    assert limit.limit == 1
    assert limit.paused_until == 9000.0 + LONGEST_PAUSE_SECONDS


def test_a_429_is_told_with_its_retry_after() -> None:
    error = error_of(429, {"message": "too many requests"}, 7.0)
    assert isinstance(error, Overloaded)
    assert isinstance(error, Unreachable), "whoever does not care about the difference tries again later"
    assert error.retry_after_seconds == 7.0


async def test_no_more_writes_than_the_limit_are_under_way() -> None:
    gate, most = WriteGate(), 0

    async def write() -> None:
        nonlocal most
        async with gate.passed():
            most = max(most, gate.sent)
            await asyncio.sleep(1)

    await asyncio.gather(*(write() for _ in range(10 * INITIAL)))
    assert INITIAL <= most <= 2 * INITIAL
    assert gate.sent == 0


async def test_after_a_429_nothing_is_sent_before_its_time() -> None:
    gate, sent = WriteGate(), []

    async def write(*, refused: bool = False) -> None:
        async with gate.passed():
            sent.append(asyncio.get_running_loop().time())
            if refused:
                raise Overloaded("too many requests", 5.0)

    with pytest.raises(Overloaded):
        await write(refused=True)
    await asyncio.gather(*(write() for _ in range(5)))
    assert sent[0] == 0
    assert min(sent[1:]) == pytest.approx(5)


async def test_a_write_that_is_cancelled_or_fails_takes_no_room() -> None:
    gate = WriteGate(ConcurrencyLimit(1))

    async def write(seconds: float) -> None:
        async with gate.passed():
            await asyncio.sleep(seconds)
            raise Unreachable("nobody answers")

    holding = asyncio.create_task(write(1000))
    waiting = asyncio.create_task(write(1))
    await asyncio.sleep(1)
    waiting.cancel()
    holding.cancel()
    await asyncio.wait({holding, waiting})
    with pytest.raises(Unreachable):
        await asyncio.wait_for(write(1), 10)
    assert gate.sent == 0
