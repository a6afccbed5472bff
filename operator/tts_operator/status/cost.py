"""The cost of a tenant: what its replicas cost now, and what its schedule costs in this month."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tts_operator.api import Schedule
from tts_operator.calendar.member_windows import MemberWindows
from tts_operator.calendar.window_settings import WindowPrecision, has_precisions, precision_in
from tts_operator.cost.forecast import constant_hours, hours_by_window, month_of, replica_hours, without_override
from tts_operator.cost.price import hourly_price
from tts_operator.resolve.pools import loaded_precisions
from tts_operator.resolve.resolved import Pool, Resolved

HOURLY = Decimal("0.0001")
MONTHLY = Decimal("0.01")


def cost(resolved: Resolved, reported: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    """The field `status.cost`; None if a pool has no price: a part of the cost would pass for the whole.

    `reported` are the entries of `status.pools`, in the order of the pools. Pools that retire are left out: they end
    within minutes.
    """
    if resolved.tenant is None:
        return None
    schedule = without_override(resolved.tenant.spec.schedule)
    start, end = month_of(schedule, resolved.now)
    members = {model.name: MemberWindows.of(model) for model in resolved.tenant.spec.models[1:] if model.windows}
    hourly = monthly = unscheduled = Decimal()
    for position, (pool, report) in enumerate(zip(resolved.pools, reported, strict=True)):
        if pool.retiring:
            continue
        price = _hourly_price(resolved, pool)
        if price is None:
            return None
        if position == 0 and has_precisions(schedule):
            monthly += _monthly_by_window(resolved, pool, schedule, (start, end), price)
            hours = replica_hours(schedule, start, end, resolved.most_replicas)
            hourly += price * int(report["desired"])
            unscheduled += _price_of(resolved, pool, None, price) * hours.unscheduled
            continue
        if position == 0:  # the schedule is the default model's
            hours = replica_hours(schedule, start, end, resolved.most_replicas)
        elif (member := members.get(pool.model_name)) is not None:
            hours = replica_hours(schedule, start, end, 1000, member)
        else:
            hours = constant_hours(pool.bounds.min_replicas, start, end)
        hourly += price * int(report["desired"])
        monthly += price * hours.scheduled
        unscheduled += price * hours.unscheduled
    return {
        "hourly": _text(hourly, HOURLY),
        "monthly": _text(monthly, MONTHLY),
        "unscheduledMonthly": _text(unscheduled, MONTHLY),
    }


def _monthly_by_window(
    resolved: Resolved, pool: Pool, schedule: Schedule | None, month: tuple[datetime, datetime], price: Decimal
) -> Decimal:
    """Cost of a month of a schedule whose windows have precisions, and so prices, of their own."""
    hours = hours_by_window(schedule, *month, resolved.most_replicas)
    return sum((length * _price_of(resolved, pool, window, price) for window, length in hours.items()), Decimal())


def _price_of(resolved: Resolved, pool: Pool, window: str | None, unknown: Decimal) -> Decimal:
    """Price of a replica of the first model in a window; None: at the precision of its entry.

    `unknown`: the present price, where the model does not give that one.
    """
    if pool.model is None or resolved.tenant is None:
        return unknown
    tenant = resolved.tenant
    by_window = WindowPrecision(precision_in(tenant.spec.schedule, window), window) if window is not None else None
    choice, _ = loaded_precisions(pool.model, tenant, tenant.spec.models[0], by_window)
    option = next(each for each in pool.model.spec.precisions if each.name == choice.name)
    price = hourly_price(option, resolved.settings.prices)
    return unknown if price is None else price


def _hourly_price(resolved: Resolved, pool: Pool) -> Decimal | None:
    if pool.model is None or pool.precision is None:
        return None
    option = next(each for each in pool.model.spec.precisions if each.name == pool.precision.name)
    return hourly_price(option, resolved.settings.prices)


def _text(amount: Decimal, unit: Decimal) -> str:
    return f"{amount.quantize(unit, ROUND_HALF_UP):f}"
