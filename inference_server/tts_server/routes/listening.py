"""Whether the caller still listens: its hanging up cancels the work that is done for it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.types import Receive

from tts_server.routes.conversation import HungUp


@asynccontextmanager
async def listening(receive: Receive) -> AsyncGenerator[None]:
    """Raise `HungUp` inside, at its next await, once the caller has closed the connection."""
    work = asyncio.current_task()
    assert work is not None  # noqa: S101 - a coroutine always runs in one
    gone = False

    async def listen() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        work.cancel()

    listener = asyncio.create_task(listen())
    try:
        yield
    except asyncio.CancelledError:
        if gone and work.uncancel() == 0:
            raise HungUp from None
        raise
    finally:
        listener.cancel()
