"""Measures the calendar: one instant, and a day of 5,000 tenants."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bench.figures import Figure
from tts_operator.api import Schedule
from tts_operator.calendar.calendar import changes, next_change, state_at

TENANTS = 5_000
ROUNDS = 2_000
NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
ZONES = ("Asia/Shanghai", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC")
TYPICAL = {
    "timeZone": "Asia/Shanghai",
    "default": {"minReplicas": 3, "maxReplicas": 6},
    "windows": [
        {"name": "night", "start": "22:00", "end": "06:00", "minReplicas": 1, "maxReplicas": 2},
        {"name": "weekend", "days": ["Sat", "Sun"], "minReplicas": 2, "maxReplicas": 4},
    ],
}
FULLEST = TYPICAL | {
    "windows": [
        {"name": f"window-{hour}", "start": f"{hour:02}:15", "end": f"{hour:02}:45", "minReplicas": 1}
        for hour in range(4, 20)
    ],
    "exceptions": [
        {"name": f"exception-{index}", "from": str(day), "to": str(day), "minReplicas": 6}
        for index in range(64)
        for day in [(NOW + timedelta(days=10 + 5 * index)).date()]
    ],
}
FAR = {
    "default": {"minReplicas": 3},
    "exceptions": [{"name": "sale", "from": "2027-09-18", "to": "2027-09-18", "minReplicas": 6}],
}


def measure() -> list[Figure]:
    typical, fullest, far = (Schedule.model_validate(spec) for spec in (TYPICAL, FULLEST, FAR))
    figures = [
        Figure(f"`{function.__name__}`, {name}", microseconds(function, schedule), "µs")
        for name, schedule in (
            ("two windows", typical),
            ("16 windows and 64 exceptions", fullest),
            ("an exception 10 months away", far),
        )
        for function in (state_at, next_change)
    ]
    started = time.perf_counter()
    year = sum(1 for _ in changes(typical, NOW, NOW + timedelta(days=365)))
    figures.append(Figure(f"a year of `changes`: {year}", (time.perf_counter() - started) * 1e3, "ms"))
    chance = random.Random(1)
    fleet = [Schedule.model_validate(TYPICAL | {"timeZone": chance.choice(ZONES)}) for _ in range(TENANTS)]
    started = time.perf_counter()
    for schedule in fleet:
        state_at(schedule, NOW)
        next_change(schedule, NOW)
    seconds = time.perf_counter() - started
    return [*figures, Figure(f"state and next change of {TENANTS:,} tenants", seconds, "s", "as after a restart")]


def microseconds(function: Callable[[Schedule, datetime], object], schedule: Schedule) -> float:
    """Median duration of a call, over instants spread through a week."""
    instants = [NOW + timedelta(minutes=5 * index) for index in range(ROUNDS)]
    started = time.perf_counter()
    for instant in instants:
        function(schedule, instant)
    return (time.perf_counter() - started) / ROUNDS * 1e6
