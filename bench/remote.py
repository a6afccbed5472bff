"""Measures what this server adds to the first audio of another speech server that it stands in front of: engine Remote
to a second tts-server with eSpeak NG. Sentences as WAV, asked through this server and directly, in many short turns. A
stream asks for a sentence each second, as a listener does; callers without a pause show what both take at most.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from bench.beside import SECONDS, TURNS
from bench.figures import Figure
from bench.load import Endpoint, Heard, ask_at_rate, keep_asking, speech
from bench.servers import SENTENCE, Running, running

STREAMS = 8
AIM = "aim: at most 5 ms"
PERCENTS = (50, 95)
NAMES = {"modelAliases": {"tts-1": "espeak"}, "voiceAliases": {"alloy": "en-us"}, "languageRouting": []}


def measure() -> list[Figure]:
    with speech_server() as peer, in_front_of(peer) as ours:
        return [figure for paced in (True, False) for figure in compared(peer, ours, paced=paced)]


def compared(peer: Running, ours: Running, *, paced: bool) -> Iterator[Figure]:
    """Rows for streams, or for callers without a pause."""
    heard = {peer.port: Heard(), ours.port: Heard()}
    for port in heard:  # opens the connections
        asyncio.run(keep_asking(Endpoint(port), speech([SENTENCE]), callers=STREAMS, seconds=1.0))
    for _ in range(TURNS):
        for port, found in heard.items():
            turn = asyncio.run(asked(Endpoint(port), paced=paced))
            found.answers += turn.answers
            found.seconds += turn.seconds
    direct, through = heard.values()
    name = f"{STREAMS} streams" if paced else f"{STREAMS} callers without a pause"
    for percent in PERCENTS:
        before, after = (each.first_percentile(percent) * 1e3 for each in (direct, through))
        yield Figure(f"{name}: first audio, directly, P{percent}", before, "ms")
        yield Figure(f"{name}: first audio, through this server, P{percent}", after, "ms")
        yield Figure(f"{name}: added, P{percent}", after - before, "ms", AIM if percent == 95 and paced else "")
    for who, each in (("directly", direct), ("through this server", through)):
        yield Figure(f"{name}: sentences, {who}", each.per_second, "/s", f"{each.failed} failed")
    yield Figure(f"{name}: load of the machine", os.getloadavg()[0], "", "1 minute, at the end")


async def asked(endpoint: Endpoint, *, paced: bool) -> Heard:
    """One turn."""
    seconds = SECONDS / TURNS
    if paced:
        return await ask_at_rate(endpoint, speech([SENTENCE]), per_second=STREAMS, seconds=seconds)
    return await keep_asking(endpoint, speech([SENTENCE]), callers=STREAMS, seconds=seconds)


@contextmanager
def speech_server() -> Iterator[Running]:
    """The speech server: eSpeak NG on every core."""
    cores = os.sched_getaffinity(0)
    models = [{"name": "espeak", "engine": {"type": "Espeak", "processes": len(cores)}}]
    with running(cores, {"models": models, **NAMES}) as server:
        yield server


@contextmanager
def in_front_of(peer: Running) -> Iterator[Running]:
    """This server, without an engine of its own and without a cache."""
    engine = {"type": "Remote", "url": f"http://127.0.0.1:{peer.port}", "model": "espeak", "sampleRateHz": 22_050}
    models = [{"name": "espeak", "engine": engine, "voices": [{"name": "en-us", "languages": ["en"]}]}]
    with running(os.sched_getaffinity(0), {"models": models, **NAMES}) as server:
        yield server
