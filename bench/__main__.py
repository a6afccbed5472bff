"""`python -m bench [NAME ...]`: run measurements and write bench/RESULTS.md. Other sections stay as they are."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figure, Result, table

MEASUREMENTS = {
    "schedule": "The calendar",
    "reconcile": "One tenant's reconcile",
    "transitions": "Lateness of a transition",
    "fairness": "A repair beside the edits of another team",
    "calendars": "Calendars beside py-kube-downscaler's",
    "operator_memory": "Memory of the operator",
    "cache_memory": "Memory of the operator's copies",
    "fleet": "Many tenants",
    "apply_to_ready": "Apply to Ready",
    "first_byte": "First audio byte",
    "server_overhead": "Requests per second on one core",
    "full_path": "The full path beside the engine alone",
    "cache_hits": "Cache hits per second on one core",
    "fast_path": "What goes round FastAPI",
    "streams": "First audio at 1, 4 and 16 streams",
    "peers": "Hand-made servers beside ours",
    "kokoro_peers": "Other servers beside ours on the same weights",
    "remote": "Another speech server behind ours",
    "published": "Loads that others publish",
    "shared_pools": "A pool of 1,000 tenants",
    "soak": "Half an hour of mixed load",
    "slow_readers": "Memory after slow readers",
    "engine_alone": "The engine alone",
    "onnx_start": "From start to ready with the built-in voice",
    "onnx_memory": "Memory of one and two processes of a neural voice",
    "onnx_batching": "Batches of neural voices",
    "degradation": "Requests answered while an engine fails",
    "language_accuracy": "Language of a text",
    "numbers_in_words": "Numbers in words",
}
"""Modules of this package, in the order of the page: each has `measure() -> list[Figure] | Result`, sync or async."""
RESULTS = Path(__file__).with_name("RESULTS.md")
CURVES = Path(__file__).with_name("results.json")
"""File with the curves that bench/plots.py draws."""
HEAD = """\
# Measurements

Written by `make bench`, each section by the command below its title; what stands in brackets there is the machine, the
day, the commit and the load of others. A section says what is measured in the docstring of its module.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; default: all")
    names = parser.parse_args().names or list(MEASUREMENTS)
    if unknown := sorted(set(names) - set(MEASUREMENTS)):
        parser.error(f"no measurement is named {unknown[0]}; there are {', '.join(MEASUREMENTS)}")
    failed = []
    for name in names:
        print(f"{MEASUREMENTS[name]} ...", flush=True)
        started = time.perf_counter()
        try:
            section = measured(name)
        except Exception as error:
            print(f"  not measured: {type(error).__name__}: {error}", file=sys.stderr)
            failed.append(name)
            continue
        print(f"{section}\n  ({time.perf_counter() - started:.0f} s)\n", flush=True)
        write(name, section)
    return 1 if failed else 0


def measured(name: str) -> str:
    module = importlib.import_module(f"bench.{name}")
    load = os.getloadavg()[0]
    result = module.measure()
    found: list[Figure] | Result = asyncio.run(result) if inspect.iscoroutine(result) else result
    if isinstance(found, Result) and found.series:
        keep(name, found.series)
    figures = found.figures if isinstance(found, Result) else found
    about = " ".join((module.__doc__ or "").split())
    measured_by = f"`python -m bench {name}` ({where()}, load {load:.1f} before)"
    return f"## {MEASUREMENTS[name]}\n{measured_by}\n\n{about}\n\n{table(figures)}\n"


def keep(name: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Add or replace one measurement's curves."""
    known = json.loads(CURVES.read_text(encoding="utf-8")) if CURVES.exists() else {}
    curves = {title: [[rounded_to_four(x), rounded_to_four(y)] for x, y in points] for title, points in series.items()}
    known[name] = {"series": curves}
    CURVES.write_text(json.dumps(dict(sorted(known.items())), indent=None) + "\n", encoding="utf-8")


def rounded_to_four(value: float) -> float:
    """Round to the significant digits that a plot can show."""
    return float(f"{value:.4g}")


def write(name: str, section: str) -> None:
    """Replace or insert one section; the others stay as they are."""
    old = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else HEAD
    sections = {part.split("\n", 1)[0]: f"## {part}" for part in re.split(r"^## ", old, flags=re.MULTILINE)[1:]}
    sections[MEASUREMENTS[name]] = section
    ordered = [sections[title].rstrip() for title in MEASUREMENTS.values() if title in sections]
    RESULTS.write_text("\n\n".join([HEAD.rstrip(), *ordered]) + "\n", encoding="utf-8")


def where() -> str:
    """The machine, the Python, the day and the commit."""
    commit = subprocess.run(("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True, check=False)
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores of {processor()}, {gibibytes:.0f} GiB, {system()}, Python {platform.python_version()}; "
        f"{datetime.now(UTC):%Y-%m-%d}, {commit.stdout.strip() or 'no commit'}"
    )


def processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else platform.machine()


def system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())


if __name__ == "__main__":
    sys.exit(main())
