"""Whether the caller still listens: its hanging up cancels the work that is done for it."""

import asyncio
from types import TracebackType

from starlette.types import Receive

from tts_server.http.request_context import ClientDisconnected

UNHEARD_SECONDS = 0.02
"""From its beginning work goes on so long whoever hangs up: most of it has ended then, and need not have listened."""


class listening:  # noqa: N801 - it reads as what happens inside
    """Raise `ClientDisconnected` inside, at its next await, once the caller has closed the connection."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._work: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._gone = False

    async def __aenter__(self) -> None:
        self._work = asyncio.current_task()
        self._begin = asyncio.get_running_loop().call_later(UNHEARD_SECONDS, self._listen)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._begin.cancel()
        if self._listener is not None:
            self._listener.cancel()
        work = self._work
        if isinstance(error, asyncio.CancelledError) and self._gone and work is not None and work.uncancel() == 0:
            raise ClientDisconnected from None

    def _listen(self) -> None:
        self._listener = asyncio.create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._work is not None:
            self._work.cancel()
