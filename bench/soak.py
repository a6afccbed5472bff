"""Measures half an hour of mixed load: every format, new and repeated texts, invalid ones, callers that disconnect in a
stream. Memory of the server and of its engine processes is read every five seconds; the slope is the least-squares line
over the second half, when caches are full.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

from bench.figures import Figure, Result
from bench.load import Connection, Endpoint, Heard
from bench.servers import SENTENCE, Running, running

SECONDS = float(os.environ.get("SOAK_SECONDS", "1800"))
LOOK_SECONDS = 5.0
CALLERS = 4
PACE_SECONDS = 0.1
"""Pause of each caller between requests, seconds: the load should be long, not heavy."""
FORMATS = ("wav", "mp3", "pcm", "flac", "opus", "aac")
SEED = 20261121
MEBIBYTE = 2**20


def measure() -> Result:
    with running(os.sched_getaffinity(0), {"cache": {"enabled": True, "maxBytes": 16 * MEBIBYTE}}) as server:
        heard, samples = asyncio.run(soak(server))
    late = [sample for sample in samples if sample[0] > SECONDS / 2]
    failed = sum(answer.status == 0 or answer.status >= 500 for answer in heard.answers)
    figures = [Figure("requests", len(heard.answers), "", f"{failed} failed")]
    for name, column in (("server", 1), ("engine processes", 2)):
        slope, _ = statistics.linear_regression([each[0] for each in late], [each[column] for each in late])
        figures += [
            Figure(f"{name}: at the start", samples[0][column] / MEBIBYTE, "MiB"),
            Figure(f"{name}: half way", late[0][column] / MEBIBYTE, "MiB"),
            Figure(f"{name}: at the end", late[-1][column] / MEBIBYTE, "MiB"),
            Figure(f"{name}: slope of the second half", slope * 3600 / MEBIBYTE, "MiB/h"),
        ]
    series = {
        name: [(sample[0] / 60, sample[column] / MEBIBYTE) for sample in samples]
        for name, column in (("server", 1), ("engine processes", 2))
    }
    return Result(figures, series)


async def soak(server: Running) -> tuple[Heard, list[tuple[float, int, int]]]:
    """Answers, and samples of memory: (seconds, bytes of the server, bytes of its engines)."""
    heard, samples = Heard(seconds=SECONDS), list[tuple[float, int, int]]()
    endpoint = Endpoint(server.port)
    started = time.perf_counter()

    async def caller(number: int) -> None:
        connection, chance = Connection(endpoint.port), random.Random(SEED + number)
        for body in mixed(chance):
            if time.perf_counter() > started + SECONDS:
                connection.close()
                return
            request = endpoint.request(body)
            if chance.random() < 0.05:
                await leave(endpoint.port, request)
            else:
                heard.answers.append(await connection.ask(request))
            await asyncio.sleep(PACE_SECONDS)

    async def look() -> None:
        while (at := time.perf_counter() - started) < SECONDS:
            samples.append((at, *server.resident_bytes()))
            await asyncio.sleep(LOOK_SECONDS)

    await asyncio.gather(look(), *map(caller, range(CALLERS)))
    return heard, samples


def mixed(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Endless requests: a third repeat a text, and one in fifty has a text that is rejected."""
    for number in itertools.count():
        text = (
            SENTENCE if chance.random() < 1 / 3 else f"{chance.random()} {' '.join([SENTENCE] * chance.randint(1, 5))}"
        )
        yield {
            "model": "tts-1",
            "voice": "alloy" if number % 50 else "nobody",
            "input": text,
            "response_format": chance.choice(FORMATS),
        }


async def leave(port: int, request: bytes) -> None:
    """Request speech, read the beginning, and disconnect."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await reader.read(100)
    writer.close()
