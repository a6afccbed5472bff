"""Every zone of the pinned time zone database may be named."""

from __future__ import annotations

import zoneinfo

import pytest

from tts_operator.api import Schedule
from tts_operator.calendar.calendar import time_zone


@pytest.mark.parametrize("name", sorted(zoneinfo.available_timezones() | {"GMT", "Singapore", "EST5EDT", "W-SU"}))
def test_every_zone_of_the_database_may_be_named(name: str) -> None:
    schedule = Schedule.model_validate({"timeZone": name, "default": {"minReplicas": 1}})
    assert time_zone(schedule.time_zone).key == name
