"""`python -m bench.plots`: draw the curves of bench/results.json as SVG files in bench/plots, one per measurement."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")
FOLDER = Path(__file__).with_name("plots")
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """Axes and title of one plot."""

    title: str
    x: str
    y: str
    ticks: tuple[float, ...] = ()
    """Ticks of a logarithmic x axis; none: the axis is linear."""
    target: float | None = None


PLOTS: Mapping[str, Plot] = {
    "fleet": Plot(
        "Costs of one tenant beside those in the smallest fleet", "tenants", "times", (100, 1000, 10_000), 1.0
    ),
    "full_path": Plot("Overhead of the full path over the engine alone", "clients", "%", (1, 8, 64), 10.0),
    "streams": Plot("First audio of a paragraph of 100 words", "streams", "ms", (1, 4, 16)),
    "soak": Plot("Memory under half an hour of mixed load", "minutes", "MiB"),
}


def main() -> int:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    FOLDER.mkdir(exist_ok=True)
    for name, plot in PLOTS.items():
        if name not in found:
            print(f"{name} has not been measured yet; run python -m bench {name}", file=sys.stderr)
            continue
        file = FOLDER / f"{name}.svg"
        draw(plot, found[name]["series"], file)
        print(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)
    return 0


def draw(plot: Plot, series: Mapping[str, Points], file: Path) -> None:
    """Draw one SVG; equal figures make equal bytes."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "ttsfleet"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for name, points in series.items():
        marker: dict[str, Any] = {"marker": "o"} if plot.ticks else {}
        axes.plot([x for x, _ in points], [y for _, y in points], label=name, **marker)
    if plot.ticks:
        axes.set_xscale("log", base=2)
        axes.set_xticks(plot.ticks, [f"{tick:g}" for tick in plot.ticks])
    if plot.target is not None:
        axes.axhline(plot.target, linestyle="--", linewidth=1, color="grey", label="aim")
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
