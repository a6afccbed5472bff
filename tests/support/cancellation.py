"""Callers that hang up at every moment there is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

MOMENTS = 60
"""Turns of the event loop: more than what is asked for takes."""


async def leaves_at_any_moment(ask: Callable[[], Awaitable[Any]]) -> int:
    """How often it left before it had its answer. Each time it is gone then: no cancellation is lost."""

    async def work() -> None:
        await ask()

    left_early = 0
    for moments in range(MOMENTS):
        asking = asyncio.create_task(work())
        for _ in range(moments):
            await asyncio.sleep(0)
        if asking.done():
            continue
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        left_early += 1
    return left_early
