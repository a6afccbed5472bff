"""Schedules that refer to a TTSCalendar, with an operator as it runs: confined to a namespace, with its own role."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import NUMBERS, ApiServer, eventually
from tests.support.operator_process import Operator, role, role_binding
from tests.support.resources import Object, calendar_body, tenant_body

pytestmark = pytest.mark.timeout(600)
LONGER_THAN_ANY_WATCH = "--resync-seconds=3600"


@pytest.fixture
def operator(control_plane: ControlPlane, api: ApiServer, tmp_path: Path) -> Iterator[Operator]:
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role(), role_binding()]))
    flags = (f"--watch-namespaces={api.namespace}", "--lease-seconds=6", LONGER_THAN_ANY_WATCH)
    started = Operator.start(control_plane, tmp_path, f"{api.namespace}-op", api.namespace, flags)
    yield started
    started.end()


def schedule(calendar: str) -> Object:
    exception = {"name": "holidays", "calendarRef": {"name": calendar}, "minReplicas": 1, "maxReplicas": 2}
    return {"default": {"minReplicas": 3, "maxReplicas": 6}, "exceptions": [exception]}


def around_today() -> Object:
    """A range that is on, whatever the hour and wherever midnight is."""
    now = datetime.now(UTC)
    return {"name": "a few days off", "from": f"{now - timedelta(days=1):%F}", "to": f"{now + timedelta(days=1):%F}"}


async def bounds(api: ApiServer, tenant: str, model: str) -> tuple[int, int] | None:
    found = await api.cluster.get(api.ref("HorizontalPodAutoscaler", f"{tenant}-{model}"))
    return (found["spec"]["minReplicas"], found["spec"]["maxReplicas"]) if found else None


@pytest.mark.usefixtures("operator")
async def test_a_calendar_that_is_published_changed_and_deleted_reaches_those_that_refer_to_it(api: ApiServer) -> None:
    model, mine, theirs = await api.publish_model(), f"de-{next(NUMBERS)}", f"fr-{next(NUMBERS)}"
    for name, calendar in (("acme", mine), ("beta", theirs), ("gamma", mine)):
        await api.user.create(tenant_body(model, key=api.key(name), schedule=schedule(calendar)))

    async def have(wanted: tuple[int, int], *tenants: str) -> bool:
        return set(await asyncio.gather(*(bounds(api, name, model) for name in tenants))) == {wanted}

    async def said(status: str, reason: str) -> bool:
        found = await api.condition("CalendarsResolved")
        return (found.get("status"), found.get("reason")) == (status, reason)

    await eventually(lambda: have((3, 6), "acme", "beta", "gamma"), "the default applies", 180)
    await eventually(lambda: said("False", "CalendarNotFound"), "the status says what is missing")
    message = (await api.condition("CalendarsResolved"))["message"]
    assert f"spec.schedule.exceptions[holidays] refers to TTSCalendar {mine}, which does not exist" in message

    later = {"name": "New Year's Day", "from": f"{datetime.now(UTC).year + 2}-01-01"}
    await api.user.create(calendar_body(mine, around_today(), later))
    await eventually(lambda: have((1, 2), "acme", "gamma"), "both have the bounds of the holidays")
    await eventually(lambda: said("True", "AsSpecified"), "nothing is missing")
    assert (await api.status())["activeWindow"] == "holidays"
    assert await have((3, 6), "beta")

    await api.user.patch(api.ref("TTSCalendar", mine), {"spec": {"dates": [later]}})
    await eventually(lambda: have((3, 6), "acme", "gamma"), "the days off are no holidays any more")

    await api.user.patch(api.ref("TTSCalendar", mine), {"spec": {"dates": [around_today()]}})
    await eventually(lambda: have((1, 2), "acme", "gamma"), "they are again")
    await eventually(lambda: said("True", "CalendarEnds"), "its end is near")

    await api.user.delete(api.ref("TTSCalendar", mine))
    await eventually(lambda: have((3, 6), "acme", "gamma"), "without it the rest of the schedule applies")
    await eventually(lambda: said("False", "CalendarNotFound"), "the status says so")
