"""Measures what this server adds to the first audio of another speech server that it stands in front of: engine Remote
to a second tts-server with eSpeak NG. Sentences as WAV, asked through this server and directly, in many short turns.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from bench.beside import SECONDS, TURNS
from bench.figures import Figure
from bench.load import Endpoint, Heard, keep_asking, speech
from bench.servers import SENTENCE, Running, running

STREAMS = (1, 8)
AIM = "aim at 8 streams: at most 5 ms"
PERCENTS = (50, 95)
NAMES = {"modelAliases": {"tts-1": "espeak"}, "voiceAliases": {"alloy": "en-us"}, "languageRouting": []}


def measure() -> list[Figure]:
    with speech_server() as peer, in_front_of(peer) as ours:
        return [figure for streams in STREAMS for figure in compared(peer, ours, streams)]


def compared(peer: Running, ours: Running, streams: int) -> Iterator[Figure]:
    """Rows for this many callers."""
    heard = {peer.port: Heard(), ours.port: Heard()}
    for port in heard:  # opens the connections
        asyncio.run(keep_asking(Endpoint(port), speech([SENTENCE]), callers=streams, seconds=1.0))
    for _ in range(TURNS):
        for port, found in heard.items():
            load = keep_asking(Endpoint(port), speech([SENTENCE]), callers=streams, seconds=SECONDS / TURNS)
            turn = asyncio.run(load)
            found.answers += turn.answers
            found.seconds += turn.seconds
    direct, through = heard.values()
    name = f"{streams} streams" if streams > 1 else "1 stream"
    for percent in PERCENTS:
        before, after = (each.first_percentile(percent) * 1e3 for each in (direct, through))
        yield Figure(f"{name}: first audio, directly, P{percent}", before, "ms")
        yield Figure(f"{name}: first audio, through this server, P{percent}", after, "ms")
        yield Figure(f"{name}: added, P{percent}", after - before, "ms", AIM if percent == 95 else "")
    for who, each in (("directly", direct), ("through this server", through)):
        yield Figure(f"{name}: sentences, {who}", each.per_second, "/s", f"{each.failed} failed")
    yield Figure(f"{name}: load of the machine", os.getloadavg()[0], "", "1 minute, at the end")


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
