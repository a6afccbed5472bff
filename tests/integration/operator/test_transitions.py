"""The calendar moves the HPA's bounds at the right instant, and one that was missed is made up for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.api_server import SETTINGS, ApiServer, eventually
from tests.support.resources import tenant_body
from tts_operator.clock import SystemClock
from tts_operator.controller.controller import Controller, ControllerOptions
from tts_operator.objects.keys import Key
from tts_operator.scheduled_scaling.timers import MAX_SLEEP_SECONDS
from tts_operator.telemetry.metrics import Metrics

SCHEDULE = {
    "timeZone": "Europe/Berlin",
    "default": {"minReplicas": 3, "maxReplicas": 6},
    "windows": [{"name": "night", "start": "22:00", "end": "06:00", "minReplicas": 1, "maxReplicas": 2}],
}
NIGHTFALL = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)
DUSK_SECONDS = MAX_SLEEP_SECONDS + 2
"""The clock is set to so long before nightfall: meanwhile the operator reads it again, as it would anybody's change."""


class ShiftedClock(SystemClock):
    """Shows this instant at the start, and goes on from there."""

    def __init__(self, start: datetime) -> None:
        self.set(start)

    def set(self, now: datetime) -> None:
        """Show this instant, and go on from there."""
        self._shift = now - super().now()

    def now(self) -> datetime:
        return super().now() + self._shift


@asynccontextmanager
async def operating(api: ApiServer, clock: ShiftedClock, *keys: Key) -> AsyncIterator[Metrics]:
    """An operator's controller, told of these tenants as a watch would."""
    metrics = Metrics()
    controller = Controller(api.cluster, SETTINGS, clock, metrics, ControllerOptions(namespaces=(api.namespace,)))
    for key in keys:
        controller.tenant_changed(key, ())
    working = asyncio.create_task(controller.work())
    try:
        yield metrics
    finally:
        controller.stop()
        await asyncio.wait_for(working, 10)


async def bounds(api: ApiServer, key: Key, model: str) -> tuple[int, int] | None:
    found = await api.cluster.get(api.ref("HorizontalPodAutoscaler", f"{key.name}-{model}"))
    return (found["spec"]["minReplicas"], found["spec"]["maxReplicas"]) if found else None


async def test_night_falls_at_its_instant_and_not_before(api: ApiServer) -> None:
    name = await api.publish_model()
    keys = [api.key(f"tenant-{number}") for number in range(10)]
    for key in keys:
        await api.user.create(tenant_body(name, schedule=SCHEDULE, key=key))
    clock = ShiftedClock(NIGHTFALL - timedelta(hours=5))
    changed_at: dict[Key, datetime] = {}

    async def all_changed() -> bool:
        for key in keys:
            found = await bounds(api, key, name)
            if clock.now() < NIGHTFALL:
                assert found in {None, (3, 6)}
            elif found == (1, 2):
                changed_at.setdefault(key, clock.now())
        return len(changed_at) == len(keys)

    async with operating(api, clock) as metrics:
        await eventually(lambda: every(api, keys, name, (3, 6)), "it is day", within_seconds=180)
        status = await api.status(keys[0].name)
        assert status["activeWindow"] == "default"
        assert status["nextTransition"]["time"] == "2026-11-20T21:00:00Z"
        assert status["nextTransition"]["window"] == "night"
        clock.set(NIGHTFALL - timedelta(seconds=DUSK_SECONDS))
        await eventually(all_changed, "night has fallen", within_seconds=DUSK_SECONDS + 20)
        await eventually(lambda: window(api, keys[-1], "night"), "the status says so")

        async def all_counted() -> bool:
            return metrics.registry.get_sample_value("tts_operator_schedule_lag_seconds_count") == len(keys)

        await eventually(all_counted, "the lateness of every transition is counted")
    assert max(changed_at.values()) - NIGHTFALL < timedelta(seconds=5)


async def test_a_transition_missed_while_the_operator_was_down_is_made_up_for(api: ApiServer) -> None:
    name = await api.publish_model()
    key = api.key()
    await api.user.create(tenant_body(name, schedule=SCHEDULE, key=key))
    async with operating(api, ShiftedClock(NIGHTFALL - timedelta(hours=5))):
        await eventually(lambda: every(api, [key], name, (3, 6)), "it is day")
    async with operating(api, ShiftedClock(NIGHTFALL + timedelta(hours=2))):
        await eventually(lambda: every(api, [key], name, (1, 2)), "it is night, though nobody saw it fall")
    async with operating(api, ShiftedClock(NIGHTFALL + timedelta(hours=20))):
        await eventually(lambda: every(api, [key], name, (3, 6)), "it is day again")
        await eventually(lambda: window(api, key, "default"), "the status says so")


async def test_night_falls_for_a_tenant_whose_later_spec_is_refused(api: ApiServer) -> None:
    name = await api.publish_model()
    key = api.key()
    await api.user.create(tenant_body(name, schedule=SCHEDULE, key=key))
    async with operating(api, ShiftedClock(NIGHTFALL - timedelta(hours=5))):
        await eventually(lambda: every(api, [key], name, (3, 6)), "it is day")
    await api.user.patch(api.ref("TTSTenant", key.name), {"spec": {"preventDeletion": True}})
    async with operating(api, ShiftedClock(NIGHTFALL + timedelta(hours=2))):
        await eventually(lambda: every(api, [key], name, (1, 2)), "it is night all the same")
        await eventually(lambda: window(api, key, "night"), "the status says so")
    assert (await api.condition("Accepted"))["status"] == "False"


async def every(api: ApiServer, keys: list[Key], model: str, wanted: tuple[int, int]) -> bool:
    found = await asyncio.gather(*(bounds(api, key, model) for key in keys))
    return set(found) == {wanted}


async def window(api: ApiServer, key: Key, name: str) -> bool:
    status: Any = await api.status(key.name)
    return bool(status.get("activeWindow") == name)
