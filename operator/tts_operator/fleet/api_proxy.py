"""Requests to the API server by `kubectl proxy` on a Unix socket: one start of kubectl for many requests.

The socket is in a folder that nobody else may open: on a port, every user of the machine had the reader's rights.
"""

from __future__ import annotations

import http.client
import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_operator.fleet.kubectl import Kubectl, KubectlError
from tts_operator.fleet.process_lines import running

REQUEST_SECONDS = 10.0
READY = "Starting to serve on"


@dataclass(frozen=True)
class Reply:
    """Answer of the API server, or of what it passed the request on to."""

    status: int
    body: bytes

    @property
    def reason(self) -> str:
        """Sentence of the API server about a failure; else the beginning of the body."""
        try:
            said = json.loads(self.body).get("message")
        except (ValueError, AttributeError):
            said = None
        return " ".join(str(said or self.body[:200].decode(errors="replace")).split())


class APIProxy:
    """Sends requests with the reader's rights. Any number of threads may use it."""

    def __init__(self, address: Path) -> None:
        self._address = address

    def get(self, path: str, seconds: float = REQUEST_SECONDS) -> Reply:
        """Send GET. Raises KubectlError if there is no answer in time."""
        connection = _UnixConnection(self._address, seconds)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Reply(response.status, response.read())
        except TimeoutError as error:
            raise KubectlError(f"GET {path}: no answer within {seconds:g} seconds") from error
        except (OSError, http.client.HTTPException) as error:
            raise KubectlError(f"GET {path}: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def read(self, path: str) -> Any:
        """Send GET and return the JSON. Raises KubectlError, also for a failure, with the API server's sentence."""
        reply = self.get(path)
        if reply.status >= 400:
            raise KubectlError(reply.reason)
        return json.loads(reply.body)

    def found(self, path: str) -> Any | None:
        """Send GET and return the JSON; None for 404. Raises KubectlError for other failures."""
        reply = self.get(path)
        if reply.status == 404:
            return None
        if reply.status >= 400:
            raise KubectlError(reply.reason)
        return json.loads(reply.body)


@contextmanager
def api_proxy(kubectl: Kubectl) -> Iterator[APIProxy]:
    """Run `kubectl proxy` while the block lasts. Raises KubectlError."""
    with tempfile.TemporaryDirectory(prefix="kubectl-tts-") as folder:  # of mode 0700
        address = Path(folder) / "socket"
        with running(kubectl.command("proxy", f"--unix-socket={address}"), READY):
            yield APIProxy(address)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, address: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._address))
