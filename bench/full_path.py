"""Measures the full path of a request beside the engine alone: an access token verified, seven limits counted in a
real Redis, the cache read and written, metrics and a log line. Every text is new. The engine's process has a core for
itself; the server, Redis and the callers have the others. The library alone, in a loop on that same core, alternates
with them in many short turns, because the speed of a core varies. Overhead: how much less audio the engine makes than
alone. Overhead in processor time: the part of the CPU time of server and engine that is not the engine's own, which is
the overhead if there were one core only.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.beside import in_turns, on_cores, two_cores
from bench.figures import Figure, Result
from bench.load import Endpoint
from bench.servers import PROGRAM, SENTENCE, Running, running
from tests.support.redis_server import counter_store

CLIENTS = (1, 8, 64)
API_KEY = "an-api-key-of-the-bench"
PLENTY = 10_000_000
LIMITS = {
    "requestsPerMinute": PLENTY,
    "requestsPerDay": PLENTY,
    "concurrentRequests": 1000,
    "audioSecondsPerDay": PLENTY,
    "charactersPerDay": 1000 * PLENTY,
    "perClientRequestsPerMinute": PLENTY,
    "maxTextCharacters": 4096,
}
TEXTS = {f"{10 * number} words": "{} " + " ".join([SENTENCE] * number).partition(" ")[2] for number in (1, 10, 30)}
"""Text of a request; its number makes each text new."""


def measure() -> Result:
    engine_core, others = two_cores()
    figures: list[Figure] = []
    series: dict[str, list[tuple[float, float]]] = {}
    for name, text in TEXTS.items():
        for clients in CLIENTS:
            with on_cores(*others), whole_path(others) as (server, endpoint):
                server.engines_on(engine_core)
                found = in_turns(server, endpoint, text.format, callers=clients, engine_core=engine_core)
            series.setdefault(name, []).append((clients, found.overhead))
            aim = "aim: at most 10 %" if clients == CLIENTS[-1] else ""
            figures += found.figures(f"{name}, {clients} clients", aim)
    return Result(figures, series)


@contextmanager
def whole_path(
    cores: list[int], *, program: Sequence[str] = PROGRAM, **config: Any
) -> Iterator[tuple[Running, Endpoint]]:
    """Start a server with every feature of a tenant. Yields its endpoint, with an access token."""
    with tempfile.TemporaryDirectory() as keys, counter_store() as redis:
        (Path(keys) / "bench").write_text(hashlib.sha256(API_KEY.encode()).hexdigest(), encoding="ascii")
        settings = {
            "auth": {"modes": ["APIKey", "JWT"], "keysDirectory": keys},
            "redis": {"url": redis.address},
            "cache": {"enabled": True},
            **config,
        }
        with running(cores, settings, LIMITS, program=program) as server:
            yield server, Endpoint(server.port, headers=(("Authorization", f"Bearer {access_token(server.port)}"),))


def access_token(port: int) -> str:
    """Access token, valid for five minutes."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/auth/token",
        data=b'{"grant_type": "client_credentials"}',
        headers={"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(json.load(response)["access_token"])
