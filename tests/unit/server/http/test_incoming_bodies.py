"""Bodies of unknown callers: so many at once, and beyond them the slowest is refused."""

import asyncio

import pytest

from tts_server.errors import Overloaded
from tts_server.http.incoming_bodies import IncomingBodies


async def received(incoming: IncomingBodies, body: "asyncio.Future[str]", seconds: float = 60) -> str:
    try:
        async with incoming.one_more(seconds):
            return await body
    except (Overloaded, TimeoutError) as error:
        return type(error).__name__


async def test_beyond_the_limit_the_one_that_took_longest_is_refused() -> None:
    incoming = IncomingBodies(most=2)
    loop = asyncio.get_running_loop()
    bodies: list[asyncio.Future[str]] = [loop.create_future() for _ in range(4)]
    tasks = [asyncio.create_task(received(incoming, body)) for body in bodies]
    assert await asyncio.gather(*tasks[:2]) == ["Overloaded", "Overloaded"]
    assert len(incoming) == 2
    for body in bodies[2:]:
        body.set_result("whole")
    assert await asyncio.gather(*tasks[2:]) == ["whole", "whole"]
    assert len(incoming) == 0


async def test_a_body_that_never_comes_gives_its_place_back() -> None:
    incoming = IncomingBodies(most=1)
    assert await received(incoming, asyncio.get_running_loop().create_future(), seconds=0) == "TimeoutError"
    assert len(incoming) == 0


async def test_a_caller_that_hangs_up_gives_its_place_back() -> None:
    incoming = IncomingBodies(most=1)
    task = asyncio.create_task(received(incoming, asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    assert len(incoming) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(incoming) == 0
