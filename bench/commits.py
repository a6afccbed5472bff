"""Compares the server of this checkout with that of another one, such as a clone of the commit before, in turns in one
run: `python -m bench.commits ../other`. Both checkouts need their `.venv` (`make setup`).

Three servers share one core, with their callers on another: the other checkout's, and this one's twice. The ratio of
the two equal servers is the noise that the ratio of the two commits is to be read against.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.beside import on_cores, two_cores
from bench.full_path import whole_path
from bench.load import Endpoint, keep_asking, speech
from bench.servers import SENTENCE, Running, running

PATHS = ("plain", "full")
TURNS = int(os.environ.get("TURNS", "15"))
TURN_SECONDS = float(os.environ.get("SECONDS_EACH", "1.0"))
CALLERS = (1, 64)
TEXTS = {"a sentence": 1, "a paragraph": 10, "a page": 30}
"""Number of sentences in a text."""

Turn = tuple[float, float]
"""Requests per second, and CPU seconds of the server for one."""


def main() -> None:
    """Print one line for each path, text and number of callers."""
    parser = argparse.ArgumentParser(prog="python -m bench.commits", description=__doc__)
    parser.add_argument("other", type=Path, help="Folder of the other checkout.")
    parser.add_argument("--path", action="append", choices=PATHS, help="Paths to compare. Default: both.")
    arguments = parser.parse_args()
    other = (str(arguments.other.resolve() / ".venv" / "bin" / "tts-server"),)
    this = (str(Path(sys.executable).with_name("tts-server")),)
    core, others = two_cores()
    measured = itertools.product(arguments.path or PATHS, TEXTS.items(), CALLERS)
    for path, (name, sentences), callers in measured:
        with ExitStack() as stack, on_cores(*others):  # new servers for each: an access token is good for five minutes
            servers = [stack.enter_context(server(path, core, program)) for program in (other, this, this)]
            text = "{} " + " ".join([SENTENCE] * sentences)
            print(f"{path} path, {name}, {callers} callers:", summary(asyncio.run(in_turns(servers, text, callers))))


@contextmanager
def server(path: str, core: int, program: Sequence[str]) -> Iterator[tuple[Running, Endpoint]]:
    """Start a server: without limits, keys and cache, or with every feature of a tenant."""
    if path == "full":
        with whole_path([core], program=program) as found:
            yield found
    else:
        with running([core], program=program) as process:
            yield process, Endpoint(process.port)


async def in_turns(servers: Sequence[tuple[Running, Endpoint]], text: str, callers: int) -> list[list[Turn]]:
    """Measure every server once in each turn; the order rotates, because the speed of a core varies."""
    numbers = itertools.count()
    bodies = speech(lambda _: text.format(next(numbers)))

    async def turn(number: int) -> Turn:
        process, endpoint = servers[number]
        before = process.cpu_seconds()[0]
        heard = await keep_asking(endpoint, bodies, callers=callers, seconds=TURN_SECONDS)
        if heard.failed or not heard.spoken:
            raise RuntimeError(f"{heard.failed} requests failed, {len(heard.spoken)} were answered")
        return heard.per_second, (process.cpu_seconds()[0] - before) / len(heard.spoken)

    for number in range(len(servers)):
        await turn(number)
    found: list[list[Turn]] = []
    for round_number in range(TURNS):
        order = [(round_number + number) % len(servers) for number in range(len(servers))]
        measured = {number: await turn(number) for number in order}
        found.append([measured[number] for number in range(len(servers))])
    return found


def summary(turns: Sequence[Sequence[Turn]]) -> str:
    """Ratios of requests per second and of CPU time: this to the other, and this to itself, with their quartiles."""
    parts = []
    for name, index in (("requests/s", 0), ("CPU of the server", 1)):
        ratio = spread([this[index] / other[index] for other, this, _ in turns])
        noise = spread([again[index] / this[index] for _, this, again in turns])
        parts.append(f"{name} {ratio}, noise {noise}")
    return "; ".join(parts)


def spread(ratios: Sequence[float]) -> str:
    """Median and quartiles."""
    low, median, high = statistics.quantiles(ratios, n=4)
    return f"{median:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
