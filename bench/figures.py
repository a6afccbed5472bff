"""Results of a measurement: figures with their units, as a Markdown table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """Row of the table."""

    what: str
    value: float
    unit: str
    condition: str = ""
    """Condition of the measurement, or a target or sample size to compare with."""

    def __str__(self) -> str:
        return f"| {self.what} | {rounded(self.value)} {self.unit} | {self.condition} |"


@dataclass(frozen=True, slots=True)
class Result:
    """Figures and curves of one measurement."""

    figures: list[Figure]
    series: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Curves for the plots: name -> points."""


def table(figures: Sequence[Figure]) -> str:
    return "\n".join(["| | | |", "|---|---:|---|", *map(str, figures)])


def rounded(value: float) -> str:
    """Number with three significant digits."""
    if value == int(value):
        return f"{int(value):,}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def latencies(what: str, seconds: Sequence[float], sample: str = "") -> list[Figure]:
    """Rows for times in seconds; `sample` says of how many, or of what."""
    rows = [Figure(f"{what}, P{percent}", percentile(seconds, percent), "s") for percent in (50, 99)]
    return [*rows, Figure(f"{what}, last", max(seconds), "s", sample)]


def percentile(values: Sequence[float], percent: int) -> float:
    """Value that `percent` of 100 values do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
