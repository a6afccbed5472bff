"""A key waits once, comes in its turn, and comes back later each time it fails."""

from __future__ import annotations

import asyncio

import pytest

from tts_operator.controller.workqueue import Backoff, Closed, WorkQueue


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_key_added_twice_comes_once() -> None:
    queue = WorkQueue[str]()
    queue.add("acme")
    queue.add("acme")
    assert await queue.get() == "acme"
    assert len(queue) == 0


async def test_keys_come_in_the_order_in_which_they_were_added() -> None:
    queue = WorkQueue[str]()
    for key in ("acme", "beta", "acme", "gamma"):
        queue.add(key)
    assert [await queue.get() for _ in range(3)] == ["acme", "beta", "gamma"]


async def test_a_key_that_is_processed_is_not_handed_out_a_second_time() -> None:
    queue = WorkQueue[str]()
    queue.add("acme")
    await queue.get()
    queue.add("acme")
    assert len(queue) == 0


async def test_a_key_added_while_processed_is_processed_again() -> None:
    queue = WorkQueue[str]()
    queue.add("acme")
    await queue.get()
    queue.add("acme")
    queue.done("acme")
    assert await queue.get() == "acme"
    queue.done("acme")
    assert len(queue) == 0


async def test_a_busy_key_goes_to_the_back_of_the_line() -> None:
    queue = WorkQueue[str]()
    queue.add("busy")
    await queue.get()
    queue.add("busy")
    queue.add("quiet")
    queue.done("busy")
    assert [await queue.get(), await queue.get()] == ["quiet", "busy"]


async def test_what_was_asked_for_goes_before_what_follows_from_it() -> None:
    queue = WorkQueue[str]()
    queue.add_after("child", 1)
    queue.add_after("resync", 0)
    await asyncio.sleep(2)
    queue.add("night")
    queue.add("edit")
    assert [await queue.get() for _ in range(4)] == ["night", "edit", "resync", "child"]


async def test_a_key_that_waits_in_the_second_lane_moves_to_the_first() -> None:
    queue = WorkQueue[str]()
    for key in ("acme", "beta"):
        queue.add_after(key, 0)
    queue.add("beta")
    assert len(queue) == 2
    assert [await queue.get(), await queue.get()] == ["beta", "acme"]


async def test_a_key_added_to_both_lanes_while_processed_comes_once_in_the_first() -> None:
    queue = WorkQueue[str]()
    queue.add("acme")
    await queue.get()
    queue.add("acme")
    queue.add_after("acme", 0)
    queue.add_after("beta", 0)
    queue.done("acme")
    assert [await queue.get(), await queue.get()] == ["acme", "beta"]
    assert len(queue) == 0


async def test_a_delayed_key_comes_when_its_delay_is_over() -> None:
    queue = WorkQueue[str]()
    queue.add_after("acme", 30)
    assert await queue.get() == "acme"
    assert now() == pytest.approx(30)


async def test_of_several_delays_the_shortest_holds() -> None:
    queue = WorkQueue[str]()
    for seconds in (30, 10, 20):
        queue.add_after("acme", seconds)
    await queue.get()
    queue.done("acme")
    assert now() == pytest.approx(10)
    queue.add_after("later", 100)
    assert await queue.get() == "later", "the longer delays of acme are void"


async def test_delays_of_many_keys_end_in_their_order() -> None:
    queue = WorkQueue[int]()
    for seconds in (5, 3, 9, 1):
        queue.add_after(seconds, seconds)
    arrivals = [(await queue.get(), round(now(), 3)) for _ in range(4)]
    assert arrivals == [(1, 1), (3, 3), (5, 5), (9, 9)]


async def test_an_event_does_not_wait_for_the_backoff_and_voids_it() -> None:
    queue = WorkQueue[str](Backoff(first_seconds=60))
    queue.retry("acme")
    queue.add("acme")
    await queue.get()
    queue.done("acme")
    assert now() == 0
    queue.add_after("later", 300)
    assert await queue.get() == "later"


async def test_each_failure_in_a_row_doubles_the_wait_up_to_a_limit() -> None:
    queue = WorkQueue[str](Backoff(first_seconds=1, longest_seconds=5))
    waits = []
    for _ in range(5):
        before = now()
        queue.retry("acme")
        await queue.get()
        queue.done("acme")
        waits.append(now() - before)
    assert waits == pytest.approx([1, 2, 4, 5, 5])


async def test_a_thousand_failures_wait_no_longer_than_the_limit() -> None:
    assert Backoff(first_seconds=1, longest_seconds=5).seconds(1_000) == 5


async def test_after_a_success_the_next_failure_is_the_first_again() -> None:
    queue = WorkQueue[str](Backoff(first_seconds=1))
    for _ in range(4):
        queue.retry("acme")
        await queue.get()
        queue.done("acme")
    queue.forget("acme")
    before = now()
    queue.retry("acme")
    await queue.get()
    assert now() - before == pytest.approx(1)


async def test_one_key_that_fails_does_not_slow_another() -> None:
    queue = WorkQueue[str](Backoff(first_seconds=60))
    queue.retry("broken")
    queue.add("sound")
    assert await queue.get() == "sound"
    assert now() == 0


async def test_a_retry_during_processing_waits_for_its_backoff() -> None:
    queue = WorkQueue[str](Backoff(first_seconds=2))
    queue.add("acme")
    key = await queue.get()
    queue.retry(key)
    queue.done(key)
    assert await queue.get() == "acme"
    assert now() == pytest.approx(2)


async def test_a_delay_that_ends_during_processing_makes_the_key_wait_again() -> None:
    queue = WorkQueue[str]()
    queue.add("acme")
    await queue.get()
    queue.add_after("acme", 1)
    await asyncio.sleep(5)
    assert len(queue) == 0
    queue.done("acme")
    assert await queue.get() == "acme"
    assert now() == pytest.approx(5)


async def test_every_waiting_worker_gets_a_key() -> None:
    queue = WorkQueue[str]()
    async with asyncio.TaskGroup() as workers:
        tasks = [workers.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(1)
        for key in ("acme", "beta", "gamma"):
            queue.add(key)
    assert {task.result() for task in tasks} == {"acme", "beta", "gamma"}


async def test_a_worker_cancelled_in_its_turn_passes_the_key_on() -> None:
    queue = WorkQueue[str]()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    queue.add("acme")
    first.cancel()
    assert await second == "acme"


async def test_closing_ends_the_wait_of_every_worker() -> None:
    queue = WorkQueue[str]()
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(1)
    queue.close()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Closed, Closed]
    queue.add("too late")
    with pytest.raises(Closed):
        await queue.get()


async def test_it_tells_how_long_the_next_key_has_waited() -> None:
    queue = WorkQueue[str]()
    assert queue.oldest_wait_seconds() == 0
    queue.add("acme")
    await asyncio.sleep(3)
    queue.add("beta")
    assert queue.oldest_wait_seconds() == pytest.approx(3)
