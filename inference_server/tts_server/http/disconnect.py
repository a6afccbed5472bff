"""Cancels the work for a request when its client disconnects."""

import asyncio
from types import TracebackType

from starlette.types import Receive

from tts_server.http.request_context import ClientDisconnected

UNWATCHED_SECONDS = 0.02
"""Time before the connection is watched: most requests end sooner and need no watcher."""


class cancelled_on_disconnect:  # noqa: N801 - it reads as what happens inside
    """Raise `ClientDisconnected` inside, at its next await, once the client has closed the connection."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._work: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._disconnected = False

    async def __aenter__(self) -> None:
        self._work = asyncio.current_task()
        self._start = asyncio.get_running_loop().call_later(UNWATCHED_SECONDS, self._watch)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._start.cancel()
        # Without these references: a task keeps the exception that ended it, and that the frame of `self`: the request
        # would stay in memory until a full collection of garbage.
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
        work, self._work = self._work, None
        if (
            isinstance(error, asyncio.CancelledError)
            and self._disconnected
            and work is not None
            and work.uncancel() == 0
        ):
            raise ClientDisconnected from None

    def _watch(self) -> None:
        self._watcher = asyncio.create_task(self._wait_for_disconnect())

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._disconnected = True
        if self._work is not None:
            self._work.cancel()
