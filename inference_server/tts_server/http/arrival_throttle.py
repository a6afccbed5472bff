"""Starts requests a few at a time, so that a burst does not starve those in flight.

Refusing a request takes a millisecond; a sentence takes ten iterations of the event loop. With hundreds of refusals in
each iteration, engines would wait for their next utterance.
"""

import asyncio
from collections import deque
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

REQUESTS_PER_ITERATION = 2
"""Requests started per iteration of the event loop."""


class ArrivalThrottle:
    """Wraps an application: requests start in the order of their arrival, those for `exempt` paths at once."""

    def __init__(self, app: ASGIApp, exempt: Collection[str]) -> None:
        self._app = app
        self._exempt = exempt
        self._started = 0
        """Requests started in this event-loop iteration."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._exempt:
            await self._wait()
        await self._app(scope, receive, send)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._next_iteration)
        if self._started < REQUESTS_PER_ITERATION and not self._waiting:
            self._started += 1
            return
        start = loop.create_future()
        self._waiting.append(start)
        await start

    def _next_iteration(self) -> None:
        self._started = 0
        while self._waiting and self._started < REQUESTS_PER_ITERATION:
            start = self._waiting.popleft()
            if not start.done():  # a cancelled request does not count
                start.set_result(None)
                self._started += 1
        self._scheduled = self._started > 0
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._next_iteration)
