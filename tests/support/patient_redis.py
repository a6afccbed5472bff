"""Redis calls that a busy machine cannot make look like a Redis that hangs."""

from collections.abc import Callable, Coroutine
from typing import Any

from tests.support.redis_server import CounterStore
from tests.support.timeouts import PATIENCE_SECONDS
from tts_server.quota.redis_calls import RedisCalls
from tts_server.redis.client import RedisClient

HUNG_SECONDS = 1.0
"""For a call to a store that hangs. A server gives it less, which on a busy machine is no sign that it waited."""


class PatientRedisCalls(RedisCalls):
    """Only a store that hangs is given up: a busy machine must not look like one."""

    def __init__(self, client: RedisClient, store: CounterStore) -> None:
        super().__init__(client, PATIENCE_SECONDS)
        self._store = store

    async def _in_time(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        self._call_seconds = HUNG_SECONDS if self._store.is_frozen else PATIENCE_SECONDS
        return await super()._in_time(call)
