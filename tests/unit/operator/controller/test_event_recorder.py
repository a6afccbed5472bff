"""Events that repeat are counted in one object."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from tests.support.operator_builders import NOON, observe
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotFound, Refused
from tts_operator.controller.event_recorder import SERIES_GAP, EventRecorder
from tts_operator.objects.manifest import Body, Manifest, Ref
from tts_operator.status.events import Event

STARTING = Event("Normal", "Starting", "no pod of acme-espeak is ready yet")
READY = Event("Normal", "Ready", "the endpoint is ready")


class Events:
    """Keeps events as the API server does."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.refuses = False

    async def create(self, manifest: Manifest) -> Body:
        if self.refuses:
            raise Refused("Forbidden", "no")
        self.objects[manifest.ref.name] = dict(manifest.body)
        return manifest.body

    async def patch(self, ref: Ref, change: Body) -> None:
        if ref.name not in self.objects:
            raise NotFound("NotFound", "gone")
        self.objects[ref.name] |= change

    @property
    def seen(self) -> list[tuple[str, int]]:
        return [(each["reason"], each.get("series", {}).get("count", 1)) for each in self.objects.values()]


async def record(recorder: EventRecorder, events: Events, event: Event, seconds: float = 0) -> None:
    await recorder.record(cast("Cluster", cast("Any", events)), observe(), event, NOON + timedelta(seconds=seconds))


async def test_a_tenant_that_flaps_every_three_seconds_has_two_events_with_a_count() -> None:
    recorder, events = EventRecorder(), Events()
    for second in range(0, 24, 3):
        await record(recorder, events, STARTING, second)
        await record(recorder, events, READY, second + 1)
    assert events.seen == [("Starting", 8), ("Ready", 8)]
    assert next(iter(events.objects.values()))["series"]["lastObservedTime"] == "2026-11-04T12:00:21.000000Z"


async def test_another_message_or_a_later_time_is_another_event() -> None:
    recorder, events = EventRecorder(), Events()
    await record(recorder, events, STARTING)
    await record(recorder, events, STARTING._replace(message="no pod of acme-espeak-de is ready yet"))
    await record(recorder, events, STARTING, SERIES_GAP.total_seconds() + 1)
    assert events.seen == [("Starting", 1), ("Starting", 1), ("Starting", 1)]


async def test_an_event_that_the_api_server_has_dropped_is_made_again() -> None:
    recorder, events = EventRecorder(), Events()
    await record(recorder, events, STARTING)
    events.objects.clear()
    await record(recorder, events, STARTING, 1)
    await record(recorder, events, STARTING, 2)
    assert events.seen == [("Starting", 2)]


async def test_a_refused_event_fails_nothing() -> None:
    recorder, events = EventRecorder(), Events()
    events.refuses = True
    await record(recorder, events, STARTING)
    events.refuses = False
    await record(recorder, events, STARTING, 1)
    assert events.seen == [("Starting", 1)]
