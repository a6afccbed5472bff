"""What a measurement hands over: figures with their units, as a table of Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    value: float
    unit: str
    condition: str = ""
    """Under what, or what it stands beside: a target, a sample's size."""

    def __str__(self) -> str:
        return f"| {self.what} | {rounded(self.value)} {self.unit} | {self.condition} |"


@dataclass(frozen=True, slots=True)
class Result:
    """What one measurement found."""

    figures: list[Figure]
    series: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Curves for the plots: a name to points."""


def table(figures: Sequence[Figure]) -> str:
    return "\n".join(["| | | |", "|---|---:|---|", *map(str, figures)])


def rounded(value: float) -> str:
    """Three significant digits, and no more than a reader needs."""
    if value == int(value):
        return f"{int(value):,}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` of 100 do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
