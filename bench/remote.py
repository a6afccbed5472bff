"""Measures what this server adds to the first audio of another speech server that it stands in front of: engine Remote
to a second tts-server with eSpeak NG. Sentences as WAV, asked directly, through a bare proxy, which copies bytes in a
process of its own and does nothing else, and through this server, in many short turns. A stream asks for a sentence
each second, as a listener does; callers without a pause show what each takes at most. What a bare proxy adds is the
price of one more process on this machine as loaded as it is; CPU time per sentence depends on that least.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.beside import SECONDS, TURNS
from bench.figures import Figure
from bench.load import Endpoint, Heard, ask_at_rate, keep_asking, speech
from bench.servers import SENTENCE, Running, cpu_seconds_of, free_ports, running, wait_listening

STREAMS = 8
AIM = "aim: at most 5 ms"
PERCENTS = (50, 95)
NAMES = {"modelAliases": {"tts-1": "espeak"}, "voiceAliases": {"alloy": "en-us"}, "languageRouting": []}


@dataclass(slots=True)
class Way:
    """A way to the speech server, and what was measured on it."""

    name: str
    port: int
    pid: int
    """Process between the callers and the speech server; on the direct way the speech server itself."""
    heard: Heard = field(default_factory=Heard)
    cpu_seconds: float = 0.0


def measure() -> list[Figure]:
    with speech_server() as peer, bare_proxy(peer.port) as proxy, in_front_of(peer) as ours:
        return [figure for paced in (True, False) for figure in compared(peer, proxy, ours, paced=paced)]


def compared(peer: Running, proxy: Running, ours: Running, *, paced: bool) -> Iterator[Figure]:
    """Rows for streams, or for callers without a pause."""
    direct = Way("directly", peer.port, peer.pid)
    bare, through = Way("a bare proxy", proxy.port, proxy.pid), Way("this server", ours.port, ours.pid)
    ways = (direct, bare, through)
    for way in ways:  # opens the connections
        asyncio.run(keep_asking(Endpoint(way.port), speech([SENTENCE]), callers=STREAMS, seconds=1.0))
    for _ in range(TURNS):
        for way in ways:
            used = cpu_seconds_of(way.pid)
            turn = asyncio.run(asked(Endpoint(way.port), paced=paced))
            way.cpu_seconds += cpu_seconds_of(way.pid) - used
            way.heard.answers += turn.answers
            way.heard.seconds += turn.seconds
    name = f"{STREAMS} streams" if paced else f"{STREAMS} callers without a pause"
    for percent in PERCENTS:
        alone, with_proxy, with_ours = (way.heard.first_percentile(percent) * 1e3 for way in ways)
        aim = AIM if percent == 95 and paced else ""
        yield Figure(f"{name}: first audio, directly, P{percent}", alone, "ms")
        yield Figure(f"{name}: added by a bare proxy, P{percent}", with_proxy - alone, "ms")
        yield Figure(f"{name}: added by this server, P{percent}", with_ours - alone, "ms", aim)
        yield Figure(f"{name}: added beyond a bare proxy, P{percent}", with_ours - with_proxy, "ms")
    for way in ways:
        yield Figure(f"{name}: sentences, {way.name}", way.heard.per_second, "/s", f"{way.heard.failed} failed")
    for way in (bare, through):
        milliseconds = way.cpu_seconds / len(way.heard.spoken) * 1e3
        yield Figure(f"{name}: CPU time of a sentence, {way.name}", milliseconds, "ms")
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


@contextmanager
def bare_proxy(target_port: int) -> Iterator[Running]:
    """A process that copies bytes between its callers and the speech server."""
    (port,) = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", "bench.bare_proxy", str(port), str(target_port)])
    try:
        wait_listening(process, port)
        yield Running(port, process.pid)
    finally:
        process.kill()
        process.wait()
