"""Compares this checkout with another one, such as a clone of the commit before, in turns in one run:
`python -m bench.commits ../other [NAME ...]`. Both checkouts need their `.venv` (`make setup`).

`server_overhead` and `full_path`: three servers share one core, with their callers on another. `reconcile`: three
operators reconcile tenants, one after the other, each against a control plane of its own, whose programs the other
checkout builds first if it pins others. The three are the other checkout's, and this one's twice. The ratio of the two
equal ones is the noise that the ratio of the two commits is to be read against.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.beside import on_cores, two_cores
from bench.full_path import whole_path
from bench.load import Endpoint, keep_asking, speech
from bench.servers import SENTENCE, Running, running

SERVERS = ("server_overhead", "full_path")
NAMES = (*SERVERS, "reconcile")
TURNS = int(os.environ.get("TURNS", "15"))
TURN_SECONDS = float(os.environ.get("SECONDS_EACH", "1.0"))
CALLERS = (1, 64)
TEXTS = {"a sentence": 1, "a paragraph": 10, "a page": 30}
"""Number of sentences in a text."""
RECONCILE_TURNS = int(os.environ.get("RECONCILE_TURNS", "5"))
TENANTS = 30
RECONCILE = """
import asyncio, dataclasses, json, sys, time
from bench import reconcile
reconcile.TENANTS = int(sys.argv[1])
before = time.process_time()
figures = [list(dataclasses.asdict(figure).values()) for figure in asyncio.run(reconcile.measure())]
cpu = {"CPU of the operator": time.process_time() - before}
print(json.dumps(cpu | {name.removesuffix(", P50"): value for name, value, *_ in figures if name.endswith(", P50")}))
"""
"""Program that measures the operator of the checkout in which it runs, as that checkout's `bench.reconcile` does."""

Turn = Mapping[str, float]
"""Values of one turn by what they measure: `requests/s`, CPU seconds, milliseconds."""


def main() -> None:
    """Print one line for each path, text and number of callers, and one for the operators."""
    parser = argparse.ArgumentParser(prog="python -m bench.commits", description=__doc__)
    parser.add_argument("other", type=Path, help="Folder of the other checkout.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    arguments = parser.parse_args()
    names = arguments.names or NAMES
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"no comparison is named {unknown[0]}; there are {', '.join(NAMES)}")
    other = arguments.other.resolve()
    for name in names:
        if name in SERVERS:
            compare_servers(name, other)
        else:
            print("reconcile:", summary(reconciles_in_turns(other)), flush=True)


def compare_servers(name: str, other: Path) -> None:
    """Print one line for each text and number of callers."""
    programs = [
        (str(other / ".venv" / "bin" / "tts-server"),),
        *[(str(Path(sys.executable).with_name("tts-server")),)] * 2,
    ]
    core, others = two_cores()
    for (text_name, sentences), callers in itertools.product(TEXTS.items(), CALLERS):
        with ExitStack() as stack, on_cores(*others):  # new servers for each: an access token is good for five minutes
            servers = [stack.enter_context(server(name, core, program)) for program in programs]
            text = "{} " + " ".join([SENTENCE] * sentences)
            turns = asyncio.run(in_turns(servers, text, callers))
            print(f"{name}, {text_name}, {callers} callers:", summary(turns), flush=True)


@contextmanager
def server(name: str, core: int, program: Sequence[str]) -> Iterator[tuple[Running, Endpoint]]:
    """Start a server: without limits, keys and cache, or with every feature of a tenant."""
    if name == "full_path":
        with whole_path([core], program=program) as found:
            yield found
    else:
        with running([core], program=program) as process:
            yield process, Endpoint(process.port)


async def in_turns(servers: Sequence[tuple[Running, Endpoint]], text: str, callers: int) -> list[list[Turn]]:
    """Measure every server once in each turn."""
    numbers = itertools.count()
    bodies = speech(lambda _: text.format(next(numbers)))

    async def turn(number: int) -> Turn:
        process, endpoint = servers[number]
        before = process.cpu_seconds()[0]
        heard = await keep_asking(endpoint, bodies, callers=callers, seconds=TURN_SECONDS)
        if heard.failed or not heard.spoken:
            raise RuntimeError(f"{heard.failed} requests failed, {len(heard.spoken)} were answered")
        cpu_seconds = process.cpu_seconds()[0] - before
        return {"requests/s": heard.per_second, "CPU of the server": cpu_seconds / len(heard.spoken)}

    for number in range(len(servers)):
        await turn(number)
    found: list[list[Turn]] = []
    for round_number in range(TURNS):
        measured = {number: await turn(number) for number in order(round_number)}
        found.append([measured[number] for number in range(len(servers))])
    return found


def reconciles_in_turns(other: Path) -> list[list[Turn]]:
    """Measure every operator once in each turn."""
    checkouts = (other, *[Path(__file__).parents[1]] * 2)

    def turn(number: int) -> Turn:
        checkout = checkouts[number]
        command = [str(checkout / ".venv" / "bin" / "python"), "-c", RECONCILE, str(TENANTS)]
        ended = subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.PIPE, text=True)
        found: Turn = json.loads(ended.stdout.splitlines()[-1])
        return found

    found: list[list[Turn]] = []
    for round_number in range(RECONCILE_TURNS):
        measured = {number: turn(number) for number in order(round_number)}
        found.append([measured[number] for number in range(len(checkouts))])
    return found


def order(round_number: int) -> list[int]:
    """The order of a turn, which rotates: the speed of a core varies."""
    return [(round_number + number) % 3 for number in range(3)]


def summary(turns: Sequence[Sequence[Turn]]) -> str:
    """Ratios of each value, with their quartiles: this to the other, and this to itself."""
    parts = []
    for name in turns[0][0]:
        ratio = spread([this[name] / other[name] for other, this, _ in turns])
        noise = spread([again[name] / this[name] for _, this, again in turns])
        parts.append(f"{name} {ratio}, noise {noise}")
    return "; ".join(parts)


def spread(ratios: Sequence[float]) -> str:
    """Median and quartiles."""
    low, median, high = statistics.quantiles(ratios, n=4)
    return f"{median:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
