"""The plan sizes and prices every window, and chooses the cheapest precision that is good and fast enough."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support.resources import model, precision
from tts_operator.api import Schedule, TTSModel
from tts_operator.calendar.bounds import Bounds
from tts_operator.planner.plan import Plan, Question, make_plan
from tts_operator.planner.queueing import OVERLOADED, Workload
from tts_operator.planner.traffic import HOURS, Traffic

START = datetime(2026, 11, 1, 16, 0, tzinfo=UTC)
"""Monday 2 November, 00:00 in Shanghai."""
PRESET = Schedule.model_validate({"preset": "DayNightWeekend", "timeZone": "Asia/Shanghai"})
DAY, NIGHT, WEEKEND = 36.0, 10.0, 22.0


def option(name: str, rate: int, quality: str, cost: str, **changed: Any) -> dict[str, Any]:
    return {**precision(name), "requestsPerSecond": rate, "quality": quality, "hourlyCost": cost, **changed}


def seeds(**changed: Any) -> TTSModel:
    """The figures that the product was planned with."""
    return model(
        precisions=[
            option("fp32", 15, "9.8", "2.1"),
            option("fp16", 28, "9.5", "1.2"),
            option("int8", 42, "8.7", "0.8"),
        ],
        **changed,
    )


def traffic() -> Traffic:
    """Traffic that three replicas of fp32 carry by day, two at the weekend and one at night."""
    return Traffic(
        {(day, hour): NIGHT if hour < 6 else WEEKEND if day > 4 else DAY for day, hour in HOURS},
    )


def asked(**changed: Any) -> Question:
    plain = Question(PRESET, seeds(), "fp32", START, traffic(), Workload(cache_ratio=0.4))
    return replace(plain, **changed)


def counts(plan: Plan, name: str) -> dict[str, int | None]:
    found = next(each for each in plan.precisions if each.name == name)
    return {window.state.window: window.needed for window in found.windows}


def test_the_written_schedule_is_told_with_its_hours_load_and_bill() -> None:
    plan = make_plan(asked(workload=Workload()))
    told = [(each.state.window, each.state.bounds, int(each.hours), each.peak) for each in plan.written]
    assert told == [
        ("night", Bounds(1, 1), 42, NIGHT),
        ("day", Bounds(3, 3), 90, DAY),
        ("weekend", Bounds(2, 2), 36, WEEKEND),
    ]
    assert all(each.p95_at_min is not None and each.p95_at_min < 3 for each in plan.written)
    assert plan.written_monthly == Decimal("2.1") * 1638


def test_the_promise_of_the_seeds_at_least_three_quarters_are_saved() -> None:
    """Three replicas of fp32 around the clock against the clock, the cache and a smaller precision."""
    plan = make_plan(asked(quality_floor=Decimal("8.5")))
    assert plan.chosen is not None
    assert plan.chosen.name == "int8"
    names, amounts = zip(*((lever.name, lever.monthly) for lever in plan.levers), strict=True)
    assert names == ("around the clock", "by the clock", "with the cache", "at int8")
    assert amounts[0] == Decimal("2.1") * 3 * 720
    assert list(amounts) == sorted(amounts, reverse=True)
    assert 1 - amounts[-1] / amounts[0] >= Decimal("0.76")
    assert plan.chosen.monthly == amounts[-1]


def test_a_floor_of_quality_excludes_what_is_below_it() -> None:
    plan = make_plan(asked(quality_floor=Decimal("9.0")))
    assert plan.chosen is not None
    assert plan.chosen.name == "fp16"
    assert {each.name: each.problem for each in plan.precisions} == {
        "fp32": "",
        "fp16": "",
        "int8": "quality 8.7 is below 9.0",
    }


def test_each_window_needs_what_its_busiest_hour_needs() -> None:
    assert counts(make_plan(asked(workload=Workload())), "fp32") == {"night": 1, "day": 3, "weekend": 2}
    assert counts(make_plan(asked()), "fp32") == {"night": 1, "day": 2, "weekend": 1}


def test_a_window_without_traffic_needs_one_replica() -> None:
    asleep = Traffic({hour: 0.0 if hour[1] < 6 else DAY for hour in HOURS})
    assert counts(make_plan(asked(traffic=asleep)), "int8")["night"] == 1


def test_overload_is_seen_before_it_happens() -> None:
    plan = make_plan(asked(traffic=Traffic.constant(50.0), workload=Workload()))
    assert {each.p95_at_max for each in plan.written} == {OVERLOADED}


def test_without_traffic_only_bounds_and_bill_are_known() -> None:
    plan = make_plan(asked(traffic=None))
    assert (plan.chosen, plan.levers) == (None, ())
    assert {each.peak for each in plan.written} == {None}
    assert plan.written_monthly == Decimal("2.1") * 1638


@pytest.mark.parametrize(
    ("left_out", "problem"),
    [
        ("requestsPerSecond", "requestsPerSecond is not set"),
        ("hourlyCost", "hourlyCost is not set, nor are prices of its resources"),
    ],
)
def test_a_precision_without_a_figure_is_told_and_not_chosen(left_out: str, problem: str) -> None:
    cheap = {name: value for name, value in option("int8", 42, "8.7", "0.8").items() if name != left_out}
    plan = make_plan(asked(model=model(precisions=[option("fp32", 15, "9.8", "2.1"), cheap])))
    assert [each.problem for each in plan.precisions] == ["", problem]
    assert plan.chosen is not None
    assert plan.chosen.name == "fp32"


def test_an_exception_outside_of_the_week_is_billed_and_sized_for_the_peak() -> None:
    exception = {"name": "fair", "from": "2026-11-20", "to": "2026-11-20", "minReplicas": 9}
    schedule = PRESET.model_copy(
        update={
            "exceptions": Schedule.model_validate({"default": {"minReplicas": 1}, "exceptions": [exception]}).exceptions
        }
    )
    plan = make_plan(asked(schedule=schedule, workload=Workload()))
    # 20 November is a Friday: 6 hours of night and 18 of day become the fair.
    assert plan.written_monthly == Decimal("2.1") * (1638 - 6 - 54 + 9 * 24)
    best = next(each for each in plan.precisions if each.name == "fp32")
    assert best.monthly == Decimal("2.1") * (1638 - 6 - 54 + 3 * 24)


def test_a_window_with_a_precision_of_its_own_is_planned_and_billed_at_it() -> None:
    night = {"name": "night", "start": "00:00", "end": "06:00", "minReplicas": 1, "precision": "int8"}
    schedule = Schedule.model_validate({"timeZone": "Asia/Shanghai", "default": {"minReplicas": 3}, "windows": [night]})
    plan = make_plan(asked(schedule=schedule))
    assert plan.written_monthly == 30 * (18 * 3 * Decimal("2.1") + 6 * 1 * Decimal("0.8"))
    fp32, int8 = (next(each for each in plan.precisions if each.name == name) for name in ("fp32", "int8"))
    latencies = {each.state.window: each.p95_at_min for each in plan.written}
    assert latencies == {
        "default": {each.state.window: each.p95_at_min for each in fp32.windows}["default"],
        "night": {each.state.window: each.p95_at_min for each in int8.windows}["night"],
    }
