"""The door: a crowd comes in a few at a time, so that those inside are served meanwhile.

To refuse a request takes a millisecond, to speak a sentence ten rounds of the event loop. With hundreds of refusals in
each round the engines would wait for their next words, and everybody for everything.
"""

import asyncio
from collections import deque
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

REQUESTS_A_ROUND = 2
"""That begin between two rounds of the event loop."""


class ArrivalThrottle:
    """In front of `app`: requests begin in the order of their arrival; those for `exempt` paths at once."""

    def __init__(self, app: ASGIApp, exempt: Collection[str]) -> None:
        self._app = app
        self._exempt = exempt
        self._begun = 0
        """In this round."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turning = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._exempt:
            await self._turn()
        await self._app(scope, receive, send)

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._turning:
            self._turning = True
            loop.call_soon(self._round)
        if self._begun < REQUESTS_A_ROUND and not self._waiting:
            self._begun += 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _round(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < REQUESTS_A_ROUND:
            turn = self._waiting.popleft()
            if not turn.done():  # whoever is cancelled has left
                turn.set_result(None)
                self._begun += 1
        self._turning = self._begun > 0
        if self._turning:
            asyncio.get_running_loop().call_soon(self._round)
