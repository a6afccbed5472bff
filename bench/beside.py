"""Compares an engine alone with the same engine behind a server, in many short turns on the same core."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.figures import Figure
from bench.load import Endpoint, keep_asking, speech
from bench.servers import Running
from tts_server.engines.espeak import Espeak

SECONDS = float(os.environ.get("SECONDS_EACH", "10"))
"""Seconds of requests to the server; the engine alone runs for half as long."""
TURNS = 10
"""Number of turns, which alternate because the speed of a core varies."""


@dataclass(slots=True)
class Tally:
    """Work done by one of the two."""

    utterances: int = 0
    seconds: float = 0.0
    engine_seconds: float = 0.0
    """CPU time of the engine's process, seconds."""
    server_seconds: float = 0.0
    """CPU time of the server's process, seconds."""

    @property
    def per_second(self) -> float:
        return self.utterances / self.seconds

    @property
    def engine_milliseconds(self) -> float:
        """CPU time of the engine per utterance."""
        return self.engine_seconds / self.utterances * 1e3

    @property
    def server_milliseconds(self) -> float:
        """CPU time of the server per utterance."""
        return self.server_seconds / self.utterances * 1e3


@dataclass(slots=True)
class Beside:
    """Result of a comparison."""

    alone: Tally = field(default_factory=Tally)
    served: Tally = field(default_factory=Tally)
    failed: int = 0

    @property
    def overhead(self) -> float:
        """Overhead in percent of the requests that the engine alone would synthesize in the same time."""
        return (1 - self.served.per_second / self.alone.per_second) * 100

    @property
    def processor_overhead(self) -> float:
        """Overhead in percent of the CPU time of server and engine, of which the engine alone takes the rest."""
        computed = self.served.engine_milliseconds + self.served.server_milliseconds
        return (1 - self.alone.engine_milliseconds / computed) * 100

    def figures(self, name: str, aim: str) -> list[Figure]:
        """Rows of the table; `aim` is shown beside the overhead."""
        alone, served = self.alone, self.served
        grown = (served.engine_milliseconds / alone.engine_milliseconds - 1) * 100
        return [
            Figure(f"{name}: the engine alone", alone.per_second, "/s"),
            Figure(f"{name}: the server", served.per_second, "/s", f"{self.failed} failed"),
            Figure(f"{name}: overhead", self.overhead, "%", aim),
            Figure(f"{name}: processor time, the engine alone", alone.engine_milliseconds, "ms"),
            Figure(f"{name}: processor time, its process", served.engine_milliseconds, "ms", f"{grown:+.1f} %"),
            Figure(f"{name}: processor time, the server", served.server_milliseconds, "ms"),
            Figure(f"{name}: overhead in processor time", self.processor_overhead, "%"),
        ]


def in_turns(
    server: Running, endpoint: Endpoint, text_of: Callable[[int], str], *, callers: int, engine_core: int
) -> Beside:
    """Measure callers that send the next request on each answer, in turns with the engine alone on `engine_core`.

    `text_of` makes the text of the next request from its number, for both.
    """
    found, engine = Beside(), Espeak()
    numbers = itertools.count()
    bodies = speech(lambda _: text_of(next(numbers)))
    asyncio.run(keep_asking(endpoint, bodies, callers=callers, seconds=1.0))
    for _ in range(TURNS):
        with on_cores(engine_core):
            began = now = os.times()
            while now.elapsed - began.elapsed < SECONDS / TURNS / 2:
                for _ in engine.speak(text_of(next(numbers)), "en-us", None, 1.0):
                    pass
                found.alone.utterances += 1
                now = os.times()
        found.alone.seconds += now.elapsed - began.elapsed
        found.alone.engine_seconds += now.user + now.system - began.user - began.system

        before = server.cpu_seconds()
        heard = asyncio.run(keep_asking(endpoint, bodies, callers=callers, seconds=SECONDS / TURNS))
        after = server.cpu_seconds()
        found.served.utterances += len(heard.spoken)
        found.served.seconds += heard.seconds
        found.served.server_seconds += after[0] - before[0]
        found.served.engine_seconds += after[1] - before[1]
        found.failed += heard.failed
    return found


@contextmanager
def on_cores(*cores: int) -> Iterator[None]:
    """Bind this thread and the processes that it starts to these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def two_cores() -> tuple[int, list[int]]:
    """One core for the measured process, and the others. Raises RuntimeError if there is only one."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise RuntimeError("this measurement needs two cores: one for the measured process, one for the rest")
    return first, others
