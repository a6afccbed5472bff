"""The cost in the status: what replicas cost now, and what the month costs by the schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.operator_builders import DAY, NOON, SETTINGS, falls_back_to, observe, settle
from tests.support.resources import model, precision
from tts_operator.api import TTSModel
from tts_operator.plan.outcome import Outcome
from tts_operator.resolve.resolve import resolve
from tts_operator.settings import Prices, Settings
from tts_operator.status.tenant import status

PRESET = {"preset": "DayNightWeekend", "timeZone": "Asia/Shanghai"}
HOURS = 30 * 24
"""NOON is in November."""


def priced(name: str = "espeak", hourly_cost: str = "1.20", **spec: Any) -> TTSModel:
    return model(name, precisions=[{**precision(), "hourlyCost": hourly_cost}], **spec)


def cost(
    *models: str | dict[str, Any],
    known: list[TTSModel],
    settings: Settings = SETTINGS,
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, str] | None:
    """The cost of a tenant whose children are as its spec asks for."""
    built = settle(observe(*models, known=known, labels=labels, **spec))
    observed = observe(*models, known=known, labels=labels, children=built, **spec)
    found: dict[str, str] | None = status(resolve(observed, settings, NOON), observed, Outcome()).get("cost")
    return found


def test_the_calendar_saves_what_it_does_not_run() -> None:
    """NOON is 20:00 of a Wednesday in Shanghai: three replicas."""
    hours = 30 * 6 * 1 + 21 * 18 * 3 + 9 * 18 * 2
    assert cost(known=[priced()], schedule=PRESET) == {
        "hourly": "3.6000",
        "monthly": f"{hours * 1.2:.2f}",
        "unscheduledMonthly": f"{HOURS * 3 * 1.2:.2f}",
    }


def test_a_window_costs_what_its_precision_costs() -> None:
    """Two replicas at 1.00 by day, two at 0.25 for six hours of each night."""
    both = model(precisions=[{**precision(), "hourlyCost": "1"}, {**precision("int8"), "hourlyCost": "0.25"}])
    night = {"name": "night", "start": "00:00", "end": "06:00", "minReplicas": 2, "precision": "int8"}
    found = cost(known=[both], schedule={"default": {"minReplicas": 2}, "windows": [night]})
    assert found == {
        "hourly": "2.0000",
        "monthly": f"{30 * (18 * 2 * 1 + 6 * 2 * 0.25):.2f}",
        "unscheduledMonthly": f"{HOURS * 2:.2f}",
    }


def test_a_model_after_the_first_costs_by_its_own_windows() -> None:
    night = {"name": "night", "start": "00:00", "end": "06:00", "minReplicas": 1}
    second = {"name": "second", "minReplicas": 3, "windows": [{"name": "night", "minReplicas": 1}]}
    known = [priced(hourly_cost="0"), priced("second", "1")]
    found = cost("espeak", second, known=known, schedule={"default": {"minReplicas": 1}, "windows": [night]})
    assert found == {
        "hourly": "3.0000",
        "monthly": f"{30 * (18 * 3 + 6 * 1):.2f}",
        "unscheduledMonthly": f"{HOURS * 3:.2f}",
    }


def test_a_ceiling_of_the_namespace_lowers_the_cost() -> None:
    labels = {"ttsfleet.io/max-replicas": "2"}
    found = cost(known=[priced(hourly_cost="1")], schedule=DAY, labels=labels)
    assert found == {"hourly": "2.0000", "monthly": "1440.00", "unscheduledMonthly": "1440.00"}


def test_every_pool_counts_fallbacks_too() -> None:
    known = [priced(hourly_cost="1", fallback=falls_back_to("last")), priced("second", "10"), priced("last", "0.5")]
    found = cost("espeak", {"name": "second", "minReplicas": 2}, known=known)
    assert found == {"hourly": "21.5000", "monthly": f"{21.5 * HOURS:.2f}", "unscheduledMonthly": f"{21.5 * HOURS:.2f}"}


def test_a_suspended_tenant_costs_nothing_now() -> None:
    found = cost(known=[priced()], suspend=True)
    assert found is not None
    assert (found["hourly"], found["monthly"]) == ("0.0000", f"{HOURS * 1.2:.2f}")


def test_a_part_of_the_cost_is_not_told_as_the_whole() -> None:
    assert cost(known=[model()]) is None
    assert cost("espeak", "second", known=[priced(), model("second")]) is None
    assert cost("espeak", "second", known=[priced()]) is None  # the second model does not exist


def test_the_platforms_prices_serve_models_without_one() -> None:
    settings = replace(SETTINGS, prices=Prices(cpu_hour="0.5", memory_gib_hour="0.4"))
    assert cost(known=[model()], settings=settings) == {
        "hourly": "0.1000",
        "monthly": "72.00",
        "unscheduledMonthly": "72.00",
    }


def test_an_override_is_part_of_what_runs_and_not_of_the_months_forecast() -> None:
    """It has no beginning, and a forecast from now on would be a write in each reconcile."""
    until = {"until": "2026-11-05T00:00:00Z", "minReplicas": 9, "maxReplicas": 9}
    plain = cost(known=[priced()], schedule={"default": {"minReplicas": 1, "maxReplicas": 1}})
    found = cost(known=[priced()], schedule={"default": {"minReplicas": 1, "maxReplicas": 1}, "override": until})
    assert found is not None
    assert plain is not None
    assert (found["monthly"], found["unscheduledMonthly"]) == (plain["monthly"], plain["unscheduledMonthly"])


def test_the_forecast_stays_while_the_month_does() -> None:
    observed = observe(known=[priced()], schedule=PRESET)
    texts = {
        status(resolve(observed, SETTINGS, NOON.replace(day=day, hour=hour)), observed, Outcome())["cost"]["monthly"]
        for day in range(1, 31)
        for hour in (0, 9)
    }
    assert len(texts) == 1
