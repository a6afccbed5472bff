"""The calendar as a table: a schedule, a local time, and the bounds that hold then or change next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import process_time
from zoneinfo import ZoneInfo

import pytest

from tests.support.calendar_oracle import Spec
from tts_operator.api import Schedule
from tts_operator.calendar.bounds import Bounds, Change, State
from tts_operator.calendar.calendar import UnknownTimeZone, changes, next_change, state_at

DAY = {"default": {"minReplicas": 3, "maxReplicas": 6}}
NIGHT = {"name": "night", "start": "22:00", "end": "06:00", "minReplicas": 1, "maxReplicas": 2}
PRESET = {"preset": "DayNightWeekend"}


def calendar(*windows: Spec, zone: str = "UTC", exceptions: tuple[Spec, ...] = ()) -> Schedule:
    return Schedule.model_validate({"timeZone": zone, **DAY, "windows": windows, "exceptions": exceptions})


def window(name: str, start: str | None = None, end: str | None = None, days: tuple[str, ...] | None = None) -> Spec:
    optional = {"start": start, "end": end, "days": days}
    return {"name": name, "minReplicas": 1, **{key: value for key, value in optional.items() if value is not None}}


def dates(name: str, first: str, last: str) -> Spec:
    return {"name": name, "from": first, "to": last, "minReplicas": 6, "maxReplicas": 20}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(text: str, zone: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


def named(schedule: Schedule, start: str, end: str) -> list[str]:
    """The changes between two instants in UTC, one line each."""
    return [f"{each.at:%m-%dT%H:%M} {each.window}" for each in changes(schedule, utc(start), utc(end))]


# 2026-11-18 is a Wednesday.
HOLDS: dict[str, tuple[Schedule, str, str]] = {
    # the story: the schedule, an instant in UTC, the window that holds
    "nothing matches": (calendar(NIGHT), "2026-11-18T12:00", "default"),
    "a window's first instant is inside": (calendar(NIGHT), "2026-11-18T22:00", "night"),
    "just before it is outside": (calendar(NIGHT), "2026-11-18T21:59:59.999999", "default"),
    "a window's end is outside": (calendar(NIGHT), "2026-11-18T06:00", "default"),
    "just before the end is inside": (calendar(NIGHT), "2026-11-18T05:59:59.999999", "night"),
    "after midnight a window goes on": (calendar(NIGHT), "2026-11-18T00:00", "night"),
    "24:00 ends with the day": (calendar(window("late", "22:00", "24:00")), "2026-11-18T23:59:59", "late"),
    "and not later": (calendar(window("late", "22:00", "24:00")), "2026-11-18T00:00", "default"),
    "00:00 ends with the day too": (calendar(window("late", "22:00", "00:00")), "2026-11-18T00:00", "default"),
    "00:00 to 24:00 is the whole day": (calendar(window("all", "00:00", "24:00")), "2026-11-18T23:59:59", "all"),
    "no times are the whole day": (calendar(window("off", days=("Wed",))), "2026-11-18T23:59:59.9", "off"),
    "days are those of the start": (calendar(window("x", "22:00", "06:00", ("Wed",))), "2026-11-19T05:59", "x"),
    "not those of the end": (calendar(window("x", "22:00", "06:00", ("Wed",))), "2026-11-18T05:59", "default"),
    "Sunday night reaches into Monday": (calendar(window("x", "22:00", "06:00", ("Sun",))), "2026-11-23T05:59", "x"),
    "the first window that matches wins": (calendar(window("a", days=("Wed",)), NIGHT), "2026-11-18T23:00", "a"),
    "in the order of the list": (calendar(NIGHT, window("a", days=("Wed",))), "2026-11-18T23:00", "night"),
    "an exception goes before windows": (
        calendar(NIGHT, exceptions=(dates("sale", "2026-11-18", "2026-11-18"),)),
        "2026-11-18T23:00",
        "sale",
    ),
    "an exception's last date is included": (
        calendar(exceptions=(dates("sale", "2026-11-11", "2026-11-12"),)),
        "2026-11-12T23:59:59.999",
        "sale",
    ),
    "and the next is not": (
        calendar(exceptions=(dates("sale", "2026-11-11", "2026-11-12"),)),
        "2026-11-13T00:00",
        "default",
    ),
    "the first exception that matches wins": (
        calendar(exceptions=(dates("peak", "2026-11-11", "2026-11-11"), dates("sale", "2026-11-01", "2026-11-30"))),
        "2026-11-11T10:00",
        "peak",
    ),
    "an exception's dates are local": (
        calendar(zone="Asia/Shanghai", exceptions=(dates("sale", "2026-11-11", "2026-11-11"),)),
        "2026-11-10T16:00",
        "sale",
    ),
    "the preset by day": (Schedule.model_validate(PRESET), "2026-11-18T06:00", "day"),
    "the preset by night": (Schedule.model_validate(PRESET), "2026-11-18T05:59", "night"),
    "the preset at the weekend": (Schedule.model_validate(PRESET), "2026-11-21T06:00", "weekend"),
    "the preset's night beats its weekend": (Schedule.model_validate(PRESET), "2026-11-22T00:00", "night"),
}


@pytest.mark.parametrize(("schedule", "instant", "expected"), HOLDS.values(), ids=HOLDS)
def test_what_holds(schedule: Schedule, instant: str, expected: str) -> None:
    assert state_at(schedule, utc(instant)).window == expected


def test_the_preset_is_three_by_day_one_by_night_and_two_at_the_weekend() -> None:
    schedule = Schedule.model_validate(PRESET)
    states = [state_at(schedule, utc(at)) for at in ("2026-11-18T12:00", "2026-11-18T01:00", "2026-11-21T12:00")]
    assert states == [
        State("day", Bounds(3, 3)),
        State("night", Bounds(1, 1)),
        State("weekend", Bounds(2, 2)),
    ]


def test_a_week_of_the_preset() -> None:
    schedule = Schedule.model_validate(PRESET | {"timeZone": "Asia/Shanghai"})
    assert named(schedule, "2026-11-20T10:00", "2026-11-23T22:30") == [
        "11-20T16:00 night",
        "11-20T22:00 weekend",
        "11-21T16:00 night",
        "11-21T22:00 weekend",
        "11-22T16:00 night",
        "11-22T22:00 day",
        "11-23T16:00 night",
        "11-23T22:00 day",
    ]


def test_without_a_schedule_one_replica_is_fixed_for_ever() -> None:
    now = utc("2026-11-18T12:00")
    assert state_at(None, now) == State("default", Bounds(1, 1))
    assert next_change(None, now) is None
    assert list(changes(None, now, now + timedelta(days=400))) == []


def test_max_replicas_defaults_to_min_replicas() -> None:
    schedule = Schedule.model_validate({"default": {"minReplicas": 4}, "windows": [window("dawn", "05:00", "06:00")]})
    assert state_at(schedule, utc("2026-11-18T12:00")).bounds == Bounds(4, 4)
    assert state_at(schedule, utc("2026-11-18T05:00")).bounds == Bounds(1, 1)


def test_a_change_says_when_and_what_from_then_on() -> None:
    assert next_change(calendar(NIGHT), utc("2026-11-18T12:00")) == Change(
        utc("2026-11-18T22:00"), "night", Bounds(1, 2)
    )


def test_the_next_change_is_later_than_the_instant_of_one() -> None:
    change = next_change(calendar(NIGHT), utc("2026-11-18T22:00"))
    assert change is not None
    assert change.at == utc("2026-11-19T06:00")


def test_changes_exclude_both_the_start_and_the_end() -> None:
    assert named(calendar(NIGHT), "2026-11-18T22:00", "2026-11-19T06:00") == []


def test_windows_that_touch_are_a_change_though_their_bounds_are_equal() -> None:
    schedule = calendar(window("first", "01:00", "02:00"), window("second", "02:00", "03:00"))
    assert named(schedule, "2026-11-18T00:00", "2026-11-18T04:00") == [
        "11-18T01:00 first",
        "11-18T02:00 second",
        "11-18T03:00 default",
    ]


def test_a_window_that_goes_on_into_its_next_day_does_not_change_at_midnight() -> None:
    schedule = calendar(window("weekend", days=("Sat", "Sun")))
    assert named(schedule, "2026-11-20T12:00", "2026-11-24T00:00") == ["11-21T00:00 weekend", "11-23T00:00 default"]


NEVER: dict[str, Schedule] = {
    "no windows": calendar(),
    "a window that always holds": calendar(window("always", days=("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))),
    "one that always holds hides the others": calendar(window("always", "00:00", "24:00"), NIGHT),
    "exceptions of the past": calendar(exceptions=(dates("sale", "2025-11-11", "2025-11-12"),)),
}


@pytest.mark.parametrize("schedule", NEVER.values(), ids=NEVER)
def test_a_calendar_that_never_changes_says_so(schedule: Schedule) -> None:
    assert next_change(schedule, utc("2026-11-18T12:00")) is None


def test_an_exception_for_ever_ends_the_changes() -> None:
    schedule = calendar(NIGHT, exceptions=(dates("closed", "2026-11-19", "9999-12-31"),))
    assert named(schedule, "2026-11-18T23:00", "2030-01-01T00:00") == ["11-19T00:00 closed"]
    assert next_change(schedule, utc("2026-11-19T00:00")) is None


@pytest.mark.parametrize("windows", [(), (window("always", "00:00", "24:00"),)], ids=["no windows", "a constant one"])
def test_a_far_exception_is_found_cheaply(windows: tuple[Spec, ...]) -> None:
    schedule = calendar(*windows, exceptions=(dates("sale", "2126-11-11", "2126-11-12"),))
    began = process_time()
    change = next_change(schedule, utc("2026-01-01T00:00"))
    assert change is not None
    assert (change.at, change.window) == (utc("2126-11-11T00:00"), "sale")
    assert process_time() - began < 0.05


def test_the_end_of_a_long_exception_is_found_cheaply() -> None:
    schedule = calendar(NIGHT, exceptions=(dates("closed", "2026-01-01", "2126-12-31"),))
    began = process_time()
    change = next_change(schedule, utc("2026-06-01T00:00"))
    assert change is not None
    assert (change.at, change.window) == (utc("2127-01-01T00:00"), "night")
    assert process_time() - began < 0.05


def test_a_window_in_the_skipped_hour_does_not_open_that_day() -> None:
    schedule = calendar(window("dawn", "02:10", "02:50"), zone="Europe/Paris")
    assert named(schedule, "2026-03-28T00:00", "2026-03-30T12:00") == [
        "03-28T01:10 dawn",
        "03-28T01:50 default",
        "03-30T00:10 dawn",
        "03-30T00:50 default",
    ]


def test_a_window_that_begins_in_the_skipped_hour_opens_when_the_clock_jumps() -> None:
    schedule = calendar(window("dawn", "02:30", "04:00"), zone="Europe/Paris")
    assert named(schedule, "2026-03-29T00:00", "2026-03-29T12:00") == ["03-29T01:00 dawn", "03-29T02:00 default"]


def test_a_window_in_the_repeated_hour_opens_twice() -> None:
    schedule = calendar(window("dawn", "02:10", "02:50"), zone="Europe/Paris")
    assert named(schedule, "2026-10-25T00:00", "2026-10-25T12:00") == [
        "10-25T00:10 dawn",
        "10-25T00:50 default",
        "10-25T01:10 dawn",
        "10-25T01:50 default",
    ]


def test_a_window_that_ends_in_the_repeated_hour_opens_again_when_the_clock_jumps_back() -> None:
    schedule = calendar(window("dawn", "01:00", "02:30"), zone="Europe/Paris")
    assert named(schedule, "2026-10-24T22:30", "2026-10-25T12:00") == [
        "10-24T23:00 dawn",
        "10-25T00:30 default",
        "10-25T01:00 dawn",
        "10-25T01:30 default",
    ]


def test_a_whole_day_begins_at_one_where_midnight_is_skipped() -> None:
    schedule = calendar(window("sunday", days=("Sun",)), zone="America/Sao_Paulo")
    assert named(schedule, "2018-11-03T12:00", "2018-11-05T12:00") == ["11-04T03:00 sunday", "11-05T02:00 default"]


def test_saturday_holds_again_where_the_hour_before_midnight_is_repeated() -> None:
    schedule = calendar(window("eve", "23:30", "24:00", ("Sat",)), zone="America/Sao_Paulo")
    assert named(schedule, "2018-02-17T12:00", "2018-02-18T12:00") == [
        "02-18T01:30 eve",
        "02-18T02:00 default",
        "02-18T02:30 eve",
        "02-18T03:00 default",
    ]


def test_lord_howe_repeats_half_an_hour() -> None:
    schedule = calendar(window("dawn", "01:45", "02:15"), zone="Australia/Lord_Howe")
    assert named(schedule, "2026-04-04T12:00", "2026-04-05T12:00") == [
        "04-04T14:45 dawn",
        "04-04T15:00 default",
        "04-04T15:15 dawn",
        "04-04T15:45 default",
    ]
    assert state_at(schedule, wall("2026-04-05T01:50", "Australia/Lord_Howe", fold=1)).window == "dawn"


def test_samoa_had_no_friday() -> None:
    schedule = calendar(
        window("friday", days=("Fri",)), window("night", "22:00", "06:00", ("Thu", "Fri")), zone="Pacific/Apia"
    )
    # Thursday's night ends with Thursday; what follows at once is Saturday, whose small hours are Friday's night.
    assert named(schedule, "2011-12-29T20:00", "2011-12-31T12:00") == ["12-30T08:00 night", "12-30T16:00 default"]
    sale = calendar(zone="Pacific/Apia", exceptions=(dates("sale", "2011-12-30", "2011-12-30"),))
    assert next_change(sale, utc("2011-12-29T00:00")) is None


def test_kwajalein_had_a_day_twice() -> None:
    schedule = calendar(window("noon", "12:00", "13:00"), zone="Pacific/Kwajalein")
    assert named(schedule, "1969-09-29T14:00", "1969-10-01T14:00") == [
        "09-30T01:00 noon",
        "09-30T02:00 default",
        "10-01T00:00 noon",
        "10-01T01:00 default",
    ]


def test_morocco_goes_back_for_ramadan() -> None:
    schedule = calendar(window("night", "00:00", "06:00"), zone="Africa/Casablanca")
    assert named(schedule, "2025-02-22T12:00", "2025-02-24T12:00") == [
        "02-22T23:00 night",
        "02-23T06:00 default",
        "02-24T00:00 night",
        "02-24T06:00 default",
    ]


def test_an_offset_with_seconds_is_exact() -> None:
    schedule = calendar(window("noon", "12:00", "12:01"), zone="Africa/Monrovia")
    change = next_change(schedule, utc("1971-06-01T00:00"))
    assert change is not None
    assert change.at == utc("1971-06-01T12:44:30")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "America", "", "../etc/passwd", "Local"])
def test_an_unknown_zone_is_named(zone: str) -> None:
    schedule = Schedule.model_construct(**{**dict(calendar()), "time_zone": zone})
    with pytest.raises(UnknownTimeZone, match="is not an IANA time zone"):
        state_at(schedule, utc("2026-11-18T12:00"))
    with pytest.raises(UnknownTimeZone):
        changes(schedule, utc("2026-11-18T12:00"), utc("2026-11-19T12:00"))


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="must be aware"):
        state_at(calendar(), datetime.fromisoformat("2026-11-18T12:00"))


def test_an_instant_in_any_zone_gives_changes_in_utc() -> None:
    change = next_change(calendar(NIGHT), wall("2026-11-18T12:00", "Asia/Tokyo"))
    assert change is not None
    assert change.at.tzinfo is UTC
