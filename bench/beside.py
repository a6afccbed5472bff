"""An engine alone, and the same engine behind a server: many short turns of each, on the same core."""

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
"""Of asking; half as long the engine speaks alone."""
TURNS = 10
"""No core stays as fast as it was."""


@dataclass(slots=True)
class Tally:
    """Of one of the two."""

    utterances: int = 0
    seconds: float = 0.0
    engine_seconds: float = 0.0
    """Of processor time, in the engine's process."""
    server_seconds: float = 0.0
    """Of processor time, in the server's."""

    @property
    def per_second(self) -> float:
        return self.utterances / self.seconds

    @property
    def engine_milliseconds(self) -> float:
        """Of processor time, for one."""
        return self.engine_seconds / self.utterances * 1e3

    @property
    def server_milliseconds(self) -> float:
        """Of processor time, for one."""
        return self.server_seconds / self.utterances * 1e3


@dataclass(slots=True)
class Beside:
    """What was found."""

    alone: Tally = field(default_factory=Tally)
    served: Tally = field(default_factory=Tally)
    failed: int = 0

    @property
    def overhead(self) -> float:
        """Percent of the requests that the engine alone would have spoken in the same time."""
        return (1 - self.served.per_second / self.alone.per_second) * 100

    @property
    def processor_overhead(self) -> float:
        """Percent of the processor time of server and engine that the engine alone does not take."""
        computed = self.served.engine_milliseconds + self.served.server_milliseconds
        return (1 - self.alone.engine_milliseconds / computed) * 100

    def figures(self, name: str, aim: str) -> list[Figure]:
        """Lines of the table; `aim` stands beside the overhead."""
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
    """Callers that ask again as soon as they have their answer, in turns with the engine alone on `engine_core`.

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
    """This thread, and what it starts, stays on these."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def two_cores() -> tuple[int, list[int]]:
    """One for what is measured, and the others. Raises RuntimeError where there is only one."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise RuntimeError("it takes two cores: one for what is measured, one for all else")
    return first, others
