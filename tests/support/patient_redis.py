"""Redis calls that a busy machine cannot make look like a Redis that hangs."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest

import tts_server.redis.client
from tests.support.redis_server import CounterStore
from tests.support.timeouts import PATIENCE_SECONDS
from tts_server.cache.resilient import ResilientCache
from tts_server.quota.redis_calls import RedisCalls
from tts_server.redis.client import RedisClient

R = TypeVar("R")

HUNG_SECONDS = 1.0
"""For a call to a store that hangs. A server gives it less, which on a busy machine is no sign that it waited."""


def be_patient(monkeypatch: pytest.MonkeyPatch, store: CounterStore) -> None:
    """Let clients and caches wait for a Redis that is not frozen: a late reply on a busy machine is not a loss."""
    monkeypatch.setattr(tts_server.redis.client, "COMMAND_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(tts_server.redis.client, "TIMEOUT_SECONDS", PATIENCE_SECONDS)
    call_cache = ResilientCache._call

    async def patient(cache: ResilientCache, work: Callable[[], Awaitable[R]], seconds: float | None) -> R | None:
        return await call_cache(cache, work, seconds and (HUNG_SECONDS if store.is_frozen else PATIENCE_SECONDS))

    monkeypatch.setattr(ResilientCache, "_call", patient)


class PatientRedisCalls(RedisCalls):
    """Only a store that hangs is given up: a busy machine must not look like one."""

    def __init__(self, client: RedisClient, store: CounterStore) -> None:
        super().__init__(client, PATIENCE_SECONDS)
        self._store = store

    async def _in_time(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        self._call_seconds = HUNG_SECONDS if self._store.is_frozen else PATIENCE_SECONDS
        return await super()._in_time(call)
