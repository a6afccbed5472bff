"""Tables for a terminal: columns are as wide as their widest cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

Paint = Callable[[str, str], str]
"""Colours a padded cell by what its column's header and the cell say."""


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One line, with columns of these widths."""
    return "   ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() + "\n"


def table(rows: Sequence[Sequence[str]], paint: Paint | None = None) -> Iterator[str]:
    """Lines of a table whose rows are all known; the first has the headers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if paint is None:
        return (line(row, widths) for row in rows)
    return (_painted(row, widths, rows[0], paint) if number else line(row, widths) for number, row in enumerate(rows))


def _painted(row: Sequence[str], widths: Sequence[int], headers: Sequence[str], paint: Paint) -> str:
    cells = (
        paint(header, cell) + " " * (width - len(cell))
        for header, cell, width in zip(headers, row, widths, strict=True)
    )
    return "   ".join(cells).rstrip() + "\n"
