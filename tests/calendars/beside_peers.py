"""Calendars as this project, KEDA cron, py-kube-downscaler, AIBrix and GPUStack read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.peer_calendars import AIBrix, GPUStack, Hours, KedaCron, KubeDownscaler, Replicas, Rule
from tts_operator.api import Schedule
from tts_operator.calendar.calendar import state_at

ZONE = ZoneInfo("Europe/Berlin")
HEADER = ("calendar", "local time", "TTS Fleet", "KEDA cron", "py-kube-downscaler", "AIBrix", "GPUStack")


@dataclass(frozen=True)
class Story:
    """One calendar, as a person would write it for each of the programs, and the moments that tell them apart."""

    name: str
    ours: dict[str, Any]
    keda: KedaCron
    downscaler: KubeDownscaler
    aibrix: AIBrix
    gpustack: GPUStack
    moments: Sequence[str]
    """UTC."""

    def rows(self) -> Iterator[tuple[str, ...]]:
        schedule = Schedule.model_validate({"timeZone": ZONE.key, **self.ours})
        for moment in self.moments:
            instant = datetime.fromisoformat(moment).astimezone(UTC)
            bounds = state_at(schedule, instant).bounds
            local = instant.astimezone(ZONE)
            peers = (self.keda, self.downscaler, self.aibrix, self.gpustack)
            yield (
                self.name,
                f"{local:%a %d %b %H:%M:%S} {local.tzname()}",
                str(Replicas(bounds.min_replicas, bounds.max_replicas)),
                *(str(peer.at(instant, ZONE)) for peer in peers),
            )


def story(name: str, start: str, end: str, seconds: int, moments: Sequence[str]) -> Story:
    """3 to 6 replicas, and 1 to 2 between two times of the day, which may be across midnight."""
    day, night = Replicas(3, 6), Replicas(1, 2)
    across = end < start
    halves = (Hours("00:00", end, night), Hours(start, "23:59", night)) if across else (Hours(start, end, night),)
    return Story(
        name,
        {
            "default": {"minReplicas": 3, "maxReplicas": 6},
            "windows": [{"name": "night", "start": start, "end": end, "minReplicas": 1, "maxReplicas": 2}],
        },
        keda=KedaCron(Replicas(1, 6), (Hours(end, start, day),)),
        downscaler=KubeDownscaler(day, 1, ((end, start),) if across else (("00:00", start), (end, "24:00"))),
        aibrix=AIBrix(day, halves),
        gpustack=GPUStack(3, (Rule(start, seconds, 1),)),
        moments=moments,
    )


EIGHT_HOURS = 8 * 3600
STORIES = (
    story(
        "22:00 to 06:00",
        "22:00",
        "06:00",
        EIGHT_HOURS,
        (
            "2026-06-11T19:59:59Z",
            "2026-06-11T20:00:00Z",
            "2026-06-11T21:59:30Z",
            "2026-06-11T22:00:00Z",
            "2026-06-12T03:59:59Z",
            "2026-06-12T04:00:00Z",
        ),
    ),
    story(
        "22:00 to 06:00, clocks go forward",
        "22:00",
        "06:00",
        EIGHT_HOURS,
        ("2026-03-29T03:59:59Z", "2026-03-29T04:00:00Z", "2026-03-29T04:59:59Z", "2026-03-29T05:00:00Z"),
    ),
    story(
        "22:00 to 06:00, clocks go back",
        "22:00",
        "06:00",
        EIGHT_HOURS,
        ("2026-10-25T03:59:59Z", "2026-10-25T04:00:00Z", "2026-10-25T04:59:59Z", "2026-10-25T05:00:00Z"),
    ),
    story(
        "02:30 to 05:00, clocks skip 02:30",
        "02:30",
        "05:00",
        9000,
        ("2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T03:00:00Z"),
    ),
    story(
        "23:00 to 02:30, clocks show 02:30 twice",
        "23:00",
        "02:30",
        12_600,
        ("2026-10-25T00:29:59Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"),
    ),
)


def table() -> str:
    """The table of the page, in Markdown. A calendar is named in its first row."""
    lines = [f"| {' | '.join(HEADER)} |", f"| {' | '.join('---' for _ in HEADER)} |"]
    for each in STORIES:
        for number, row in enumerate(each.rows()):
            cells = row if number == 0 else ("", *row[1:])
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
