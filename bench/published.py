"""Measures loads that others publish for their speech servers, with server, engine and callers on the same cores. A
request fails if it gets neither speech nor a 429 or 503 by design.
"""

from __future__ import annotations

import asyncio
import os
import random

from bench.figures import Figure
from bench.load import Connection, Endpoint, Heard, ask_at_rate, keep_asking, speech
from bench.servers import SENTENCE, running

USERS = 50
USERS_SECONDS = float(os.environ.get("USERS_SECONDS", "300"))
THINK_SECONDS = (1.0, 3.0)
"""Bounds of the pause between a user's requests, seconds, uniformly distributed."""
HUNDRED_CHARACTERS = (SENTENCE * 2)[:99] + "."
RATE_SECONDS = 60.0
CONNECTIONS = 500
CONNECTIONS_SECONDS = 30.0
SEED = 20261121


def measure() -> list[Figure]:
    with running(os.sched_getaffinity(0)) as server:
        endpoint = Endpoint(server.port)
        users = asyncio.run(users_who_think(endpoint))
        rate = asyncio.run(
            ask_at_rate(endpoint, speech([HUNDRED_CHARACTERS], "mp3"), per_second=15, seconds=RATE_SECONDS)
        )
        crowd = asyncio.run(
            keep_asking(endpoint, speech([SENTENCE], "mp3"), callers=CONNECTIONS, seconds=CONNECTIONS_SECONDS)
        )
    return [
        *shown(f"{USERS} users for {USERS_SECONDS:.0f} s", users, "others: 4.7 /s on 4 cores", "others: 6.1 s"),
        *shown("100 characters at 15 /s", rate, "", "aim: at most 1.2 s"),
        *shown(f"{CONNECTIONS} connections", crowd, "", ""),
    ]


def shown(load: str, heard: Heard, rate_beside: str, latency_beside: str) -> list[Figure]:
    refused = len(heard.answers) - len(heard.spoken) - heard.failed
    return [
        Figure(f"{load}: spoken", heard.per_second, "/s", rate_beside),
        Figure(f"{load}: P50", heard.percentile(50), "s"),
        Figure(f"{load}: P95", heard.percentile(95), "s", latency_beside),
        Figure(f"{load}: failed", heard.failed, f"of {len(heard.answers)}", f"{refused} refused by design"),
    ]


async def users_who_think(endpoint: Endpoint) -> Heard:
    """Simulate users: each requests an MP3 of one to four sentences, pauses, and requests the next."""
    heard = Heard(seconds=USERS_SECONDS)
    loop = asyncio.get_running_loop()
    ends = loop.time() + USERS_SECONDS
    texts = [" ".join([SENTENCE] * sentences) for sentences in (1, 2, 4)]
    bodies = speech(texts, "mp3")

    async def user(number: int) -> None:
        chance, connection = random.Random(SEED + number), Connection(endpoint.port)
        await asyncio.sleep(chance.uniform(0, THINK_SECONDS[1]))
        while loop.time() < ends:
            heard.answers.append(await connection.ask(endpoint.request(next(bodies))))
            await asyncio.sleep(chance.uniform(*THINK_SECONDS))
        connection.close()

    await asyncio.gather(*map(user, range(USERS)))
    return heard
