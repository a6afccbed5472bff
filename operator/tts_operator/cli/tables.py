"""Tables for a terminal: columns are as wide as their widest cell."""

from collections.abc import Iterator, Sequence


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One line, with columns of these widths."""
    return "   ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() + "\n"


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table whose rows are all known."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return (line(row, widths) for row in rows)
