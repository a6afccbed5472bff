"""Reads the corpus, and judges an implementation by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent


class Instant(NamedTuple):
    """Name and bounds of what is active at an instant."""

    at: datetime
    window: str
    min_replicas: int
    max_replicas: int


@dataclass(frozen=True)
class Case:
    """One calendar of the corpus."""

    name: str
    description: str
    schedule: dict[str, Any]
    calendars: dict[str, list[dict[str, str]]]
    start: datetime
    end: datetime
    instants: tuple[Instant, ...]


def cases() -> Iterator[Case]:
    """Every calendar, by name."""
    for file in sorted(FOLDER.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        yield Case(
            file.stem,
            content["description"],
            content["schedule"],
            content.get("calendars", {}),
            datetime.fromisoformat(content["from"]),
            datetime.fromisoformat(content["to"]),
            tuple(
                Instant(datetime.fromisoformat(at), window, least, most)
                for at, window, least, most in (each.values() for each in content["instants"])
            ),
        )
