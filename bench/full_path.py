"""The whole way of a request beside the engine alone: an access token verified, seven limits counted in a real Redis,
the cache asked and filled, metrics and a log line written. Server and engine process share one core; callers and Redis
have the others. Every text is spoken for the first time. The engine alone is measured before and after each, because
the core may not stay as fast as it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.figures import Figure, Result
from bench.load import Endpoint, Heard, keep_asking, speech
from bench.server_overhead import on_cores
from bench.servers import SENTENCE, Running, running
from tests.contract.counter_store import counter_store
from tts_server.engines.espeak import Espeak

CLIENTS = (1, 8, 64)
SECONDS = float(os.environ.get("SECONDS_EACH", "10"))
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
NUMBERS = itertools.count()
TEXTS = {f"{10 * number} words": "{} " + " ".join([SENTENCE] * number).partition(" ")[2] for number in (1, 10, 30)}
"""The number makes each of them new."""


def measure() -> Result:
    server_core, *other_cores = sorted(os.sched_getaffinity(0))
    if not other_cores:
        raise RuntimeError("it takes two cores: one for the server, one for its callers")
    figures: list[Figure] = []
    series: dict[str, list[tuple[float, float]]] = {}
    for name, text in TEXTS.items():
        for clients in CLIENTS:
            with on_cores(server_core):
                before = engine_alone(text)
            with on_cores(*other_cores), whole_path([server_core]) as (server, endpoint):
                heard, spent = asyncio.run(load(server, endpoint, text, clients))
            with on_cores(server_core):
                alone = (before + engine_alone(text)) / 2
            overhead = (1 - alone / spent) * 100
            series.setdefault(name, []).append((clients, overhead))
            target = "aim: at most 10 %" if clients == CLIENTS[-1] else ""
            figures += [
                Figure(f"{name}, {clients} clients: requests", heard.per_second, "/s", f"{heard.failed} failed"),
                Figure(f"{name}, {clients} clients: processor time, the engine alone", alone * 1e3, "ms"),
                Figure(f"{name}, {clients} clients: processor time of a request", spent * 1e3, "ms"),
                Figure(f"{name}, {clients} clients: overhead in processor time", overhead, "%", target),
            ]
    return Result(figures, series)


@contextmanager
def whole_path(cores: list[int], **config: Any) -> Iterator[tuple[Running, Endpoint]]:
    """A server that does everything which a tenant can ask for, and where to ask it with an access token."""
    with tempfile.TemporaryDirectory() as keys, counter_store() as redis:
        (Path(keys) / "bench").write_text(hashlib.sha256(API_KEY.encode()).hexdigest(), encoding="ascii")
        settings = {
            "auth": {"modes": ["APIKey", "JWT"], "keysDirectory": keys},
            "redis": {"url": redis.address},
            "cache": {"enabled": True},
            **config,
        }
        with running(cores, settings, LIMITS) as server:
            yield server, Endpoint(server.port, headers=(("Authorization", f"Bearer {access_token(server.port)}"),))


def access_token(port: int) -> str:
    """Good for five minutes."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/auth/token",
        data=b'{"grant_type": "client_credentials"}',
        headers={"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(json.load(response)["access_token"])


async def load(server: Running, endpoint: Endpoint, text: str, clients: int) -> tuple[Heard, float]:
    """What was heard, and the processor seconds of a request, of the server and its engine process together.

    Of what was asked and answered between two moments without a request under way.
    """
    bodies = speech(lambda _: text.format(next(NUMBERS)))
    await keep_asking(endpoint, bodies, callers=clients, seconds=1.0)
    before = sum(server.cpu_seconds())
    heard = await keep_asking(endpoint, bodies, callers=clients, seconds=SECONDS)
    return heard, (sum(server.cpu_seconds()) - before) / len(heard.spoken)


def engine_alone(text: str) -> float:
    """Processor seconds for one such text, in this process."""
    engine, count = Espeak(), 0
    began = os.times()
    while (now := os.times()).elapsed - began.elapsed < SECONDS / 2:
        for _ in engine.speak(text.format(next(NUMBERS)), "en-us", None, 1.0):
            pass
        count += 1
    return (now.user + now.system - began.user - began.system) / count
