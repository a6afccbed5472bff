"""Connections are accepted a few between two rounds of the event loop, in order, and whoever only asks for health."""

import asyncio

from starlette.types import Receive, Scope, Send

from tts_server.http.arrival_throttle import REQUESTS_PER_ITERATION, ArrivalThrottle


class Inside:
    """Notes who came in, and in which round."""

    def __init__(self) -> None:
        self.round = 0
        self.came: list[tuple[int, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        self.came.append((self.round, scope["path"]))

    async def go_round(self, rounds: int) -> None:
        for _ in range(rounds):
            await asyncio.sleep(0)
            self.round += 1


def comes(door: ArrivalThrottle, path: str) -> asyncio.Task[None]:
    async def nothing(*_: object) -> None: ...

    return asyncio.create_task(door({"type": "http", "path": path}, nothing, nothing))  # type: ignore[arg-type]


async def test_a_crowd_comes_in_a_few_at_a_time_and_in_order() -> None:
    inside = Inside()
    door = ArrivalThrottle(inside, {"/healthz"})
    crowd = [comes(door, str(number)) for number in range(50)]
    await inside.go_round(100)
    await asyncio.gather(*crowd)
    assert [path for _, path in inside.came] == [str(number) for number in range(50)]
    rounds = [round_ for round_, _ in inside.came]
    assert all(rounds.count(round_) <= REQUESTS_PER_ITERATION for round_ in rounds)
    assert rounds[-1] - rounds[0] <= 50 / REQUESTS_PER_ITERATION + 3, "and no round is lost"


async def test_health_is_not_asked_to_wait() -> None:
    inside = Inside()
    door = ArrivalThrottle(inside, {"/healthz"})
    crowd = [comes(door, str(number)) for number in range(50)]
    health = comes(door, "/healthz")
    await inside.go_round(2)
    assert (0, "/healthz") in inside.came
    await inside.go_round(100)
    await asyncio.gather(health, *crowd)


async def test_who_leaves_is_passed_over() -> None:
    inside = Inside()
    door = ArrivalThrottle(inside, ())
    crowd = [comes(door, str(number)) for number in range(10)]
    await asyncio.sleep(0)
    for number in range(4, 9):
        crowd[number].cancel()
    await inside.go_round(20)
    assert [path for _, path in inside.came] == ["0", "1", "2", "3", "9"]
    assert comes(door, "later") is not None
    await inside.go_round(3)
    assert inside.came[-1][1] == "later"
