"""Colours of tables: only on a terminal, and never where NO_COLOR (https://no-color.org) is set."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TextIO

from tts_operator.cli.tables import Paint

RED, GREEN, YELLOW, GREY = 31, 32, 33, 90
COLOURS: Mapping[tuple[str, str], int] = {
    ("READY", "True"): GREEN,
    ("READY", "False"): RED,
    ("READY", "Unknown"): YELLOW,
    ("STATUS", "True"): GREEN,
    ("STATUS", "False"): RED,
    ("STATUS", "Unknown"): YELLOW,
    ("TYPE", "Warning"): YELLOW,
    ("RESULT", "ok"): GREEN,
    ("RESULT", "warn"): YELLOW,
    ("RESULT", "fail"): RED,
    ("STATE", "usable"): GREEN,
    ("STATE", "plain text"): RED,
    ("STATE", "no hash"): YELLOW,
    ("MODE", "Paused"): YELLOW,
    ("MODE", "Unlimited"): YELLOW,
    ("MODE", "IgnoreFailures"): YELLOW,
}
"""Colours by the header of a column and the text of a cell."""


def paint_for(stream: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> Paint | None:
    """Colours for standard output, or another stream; None where it is no terminal that takes them."""
    stream = stream or sys.stdout
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb" or not stream.isatty():
        return None
    return painted


def painted(header: str, cell: str) -> str:
    """A cell in the colour of what it says."""
    colour = COLOURS.get((header, cell), GREY if cell == "-" else 0)
    return f"\x1b[{colour}m{cell}\x1b[0m" if colour else cell
