"""The cost of a tenant: what its replicas cost now, and what its schedule costs in this month."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tts_operator.calendar.member_windows import MemberWindows
from tts_operator.cost.forecast import constant_hours, month_of, replica_hours, without_override
from tts_operator.cost.price import hourly_price
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


def _hourly_price(resolved: Resolved, pool: Pool) -> Decimal | None:
    if pool.model is None or pool.precision is None:
        return None
    option = next(each for each in pool.model.spec.precisions if each.name == pool.precision.name)
    return hourly_price(option, resolved.settings.prices)


def _text(amount: Decimal, unit: Decimal) -> str:
    return f"{amount.quantize(unit, ROUND_HALF_UP):f}"
