"""Plans a tenant: what its bounds carry and cost, and the cheapest precision and replicas that carry its traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from tts_operator.api import Schedule, TTSModel
from tts_operator.api.model import PrecisionOption
from tts_operator.calendar.bounds import State
from tts_operator.calendar.calendar import Calendar, changes, state_at
from tts_operator.calendar.window_settings import precision_in
from tts_operator.cost.forecast import SECONDS_AN_HOUR, month_of, without_override
from tts_operator.cost.price import hourly_price
from tts_operator.planner.queueing import Replica, Workload, p95_seconds, replicas_needed
from tts_operator.planner.traffic import HOURS, Hour, Traffic
from tts_operator.pod_files.engine import engine_processes
from tts_operator.resolve.precision import nearest
from tts_operator.settings import Prices

MOST_REPLICAS = 1000
"""Most replicas of a pool that a TTSTenant can set."""
FEWEST_REPLICAS = 1
"""A window of no replicas is not supported yet."""
NO_CACHE = 0.0


@dataclass(frozen=True)
class Question:
    """Input of the planner."""

    schedule: Schedule | None
    model: TTSModel
    precision: str
    """Precision that the tenant has now."""
    start: datetime
    """The week from here on is shown, and the month that contains it is billed."""
    traffic: Traffic | None = None
    """Requests of a week. If unset, bounds and bill are shown, and nothing is recommended."""
    workload: Workload = field(default_factory=Workload)
    quality_floor: Decimal = Decimal()
    target_seconds: float = 3.0
    """Longest P95 of the time from a request's arrival to its end."""
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True)
class WindowPlan:
    """One window at one precision."""

    state: State
    hours: Decimal
    """Hours of the week."""
    peak: float | None
    """Requests per second in its busiest hour."""
    p95_at_min: float | None
    p95_at_max: float | None
    needed: int | None
    """Fewest replicas that meet the target at the peak; None if unknown, or if no number does."""


@dataclass(frozen=True)
class PrecisionPlan:
    """The whole schedule at one precision."""

    name: str
    quality: Decimal | None
    hourly_price: Decimal | None
    windows: tuple[WindowPlan, ...]
    problem: str
    """Why this precision cannot be chosen; empty if it can."""
    monthly: Decimal | None
    """Cost of the month with the replicas needed; None if they or the price are unknown."""


@dataclass(frozen=True)
class Lever:
    """One way to save, on top of those before it."""

    name: str
    monthly: Decimal


@dataclass(frozen=True)
class Plan:
    """Answer to a question."""

    question: Question
    written: tuple[WindowPlan, ...]
    """The schedule as it is written, each window at its own precision, or at the tenant's."""
    written_monthly: Decimal | None
    month: tuple[datetime, datetime]
    precisions: tuple[PrecisionPlan, ...]
    chosen: PrecisionPlan | None
    """The cheapest precision that meets floor and target."""
    levers: tuple[Lever, ...]
    """From the best precision at the peak's replicas around the clock to the choice; empty without one."""


def make_plan(question: Question) -> Plan:
    """Answer the question. Raises UnknownTimeZone."""
    month = month_of(question.schedule, question.start)
    hours_of_month = _month_hours(question, *month)
    week = _week(question)
    options = question.model.spec.precisions
    precisions = tuple(_precision_plan(question, option, week, hours_of_month) for option in options)
    written = next(each for each in precisions if each.name == question.precision)
    usable = [each for each in precisions if not each.problem and each.monthly is not None]
    chosen = min(usable, key=lambda each: (each.monthly, -(each.quality or 0)), default=None)
    of_window = {window: plan for window in hours_of_month | week if (plan := _plan_of(question, precisions, window))}
    prices = {state: of_window.get(state, written).hourly_price for state in hours_of_month}
    bill = None
    if all(price is not None for price in prices.values()):
        bill = sum(
            (hours * state.bounds.min_replicas * (prices[state] or 0) for state, hours in hours_of_month.items()),
            Decimal(),
        )
    windows = tuple(
        next(window for window in of_window.get(each.state, written).windows if window.state == each.state)
        for each in written.windows
    )
    levers = tuple(_levers(question, precisions, chosen, week, hours_of_month)) if chosen else ()
    return Plan(question, windows, bill, month, precisions, chosen, levers)


def _plan_of(question: Question, precisions: Sequence[PrecisionPlan], state: State) -> PrecisionPlan | None:
    """The plan at the precision that a window sets; None without one."""
    wanted = precision_in(question.schedule, state.window)
    if wanted is None:
        return None
    name = nearest(wanted, [each.name for each in precisions])
    return next(each for each in precisions if each.name == name)


@dataclass(frozen=True)
class _WindowWeek:
    """One state in the week."""

    minutes: int
    peak: float | None


def _week(question: Question) -> dict[State, _WindowWeek]:
    """Every state of the week from `start` on, in order of appearance, with its minutes and the peak of its traffic."""
    calendar = None if question.schedule is None else Calendar.of(question.schedule)
    minutes: dict[State, int] = {}
    seen: dict[State, set[Hour]] = {}
    for minute in range(len(HOURS) * 60):
        instant = question.start + timedelta(minutes=minute)
        local = instant if calendar is None else instant.astimezone(calendar.zone)
        state = state_at(None, instant) if calendar is None else calendar.state_at(instant)
        minutes[state] = minutes.get(state, 0) + 1
        seen.setdefault(state, set()).add((local.weekday(), local.hour))
    rates = None if question.traffic is None else question.traffic.requests_per_second
    return {
        state: _WindowWeek(count, None if rates is None else max(rates[hour] for hour in seen[state]))
        for state, count in minutes.items()
    }


def _month_hours(question: Question, first: datetime, end: datetime) -> dict[State, Decimal]:
    """Hours of each state of the month. An override counts from `start` on: when it was set is not known."""
    hours = _state_hours(without_override(question.schedule), first, question.start)
    for state, more in _state_hours(question.schedule, question.start, end).items():
        hours[state] = hours.get(state, Decimal()) + more
    return {state: length for state, length in hours.items() if length}


def _state_hours(schedule: Schedule | None, start: datetime, end: datetime) -> dict[State, Decimal]:
    """Hours of each state between two instants."""
    hours: dict[State, Decimal] = {}
    state, since = state_at(schedule, start), start
    for change in (*changes(schedule, start, end), None):
        until = end if change is None else change.at
        hours[state] = hours.get(state, Decimal()) + Decimal(int((until - since).total_seconds())) / SECONDS_AN_HOUR
        if change is not None:
            state, since = State(change.window, change.bounds), change.at
    return hours


def _precision_plan(
    question: Question, option: PrecisionOption, week: Mapping[State, _WindowWeek], hours: Mapping[State, Decimal]
) -> PrecisionPlan:
    replica = replica_of(question.model, option)
    windows = tuple(_window_plan(question, replica, state, part) for state, part in week.items())
    price = hourly_price(option, question.prices)
    quality = None if option.quality is None else Decimal(option.quality)
    needed = {window.state: window.needed for window in windows}
    peak = max((window.peak or 0.0 for window in windows), default=0.0)
    for state in hours:  # one that this week does not have is sized for the week's peak
        if state not in needed and replica is not None and question.traffic is not None:
            needed[state] = _needed(question, replica, peak, question.workload)
    monthly = None
    counts = [needed.get(state) for state in hours]
    if price is not None and all(count is not None for count in counts):
        monthly = price * sum((hours[state] * (needed[state] or 0) for state in hours), Decimal())
    problem = _problem(question, option, quality, price, windows)
    return PrecisionPlan(option.name.value, quality, price, windows, problem, monthly)


def replica_of(model: TTSModel, option: PrecisionOption) -> Replica | None:
    """Speed of a replica at this precision; None if the model does not give it."""
    if not option.requests_per_second:
        return None
    return Replica(float(option.requests_per_second), engine_processes(model, option))


def _window_plan(question: Question, replica: Replica | None, state: State, part: _WindowWeek) -> WindowPlan:
    at_min = at_max = None
    needed = None
    if replica is not None and part.peak is not None:
        at_min = p95_seconds(part.peak, state.bounds.min_replicas, replica, question.workload)
        at_max = p95_seconds(part.peak, state.bounds.max_replicas, replica, question.workload)
        needed = _needed(question, replica, part.peak, question.workload)
    return WindowPlan(state, Decimal(part.minutes) / 60, part.peak, at_min, at_max, needed)


def _needed(question: Question, replica: Replica, peak: float, workload: Workload) -> int | None:
    if peak == 0:
        return FEWEST_REPLICAS
    return replicas_needed(peak, replica, workload, question.target_seconds, MOST_REPLICAS)


def _problem(
    question: Question,
    option: PrecisionOption,
    quality: Decimal | None,
    price: Decimal | None,
    windows: Sequence[WindowPlan],
) -> str:
    if question.quality_floor and (quality is None or quality < question.quality_floor):
        return f"quality {'unknown' if quality is None else quality} is below {question.quality_floor}"
    missing = [] if option.requests_per_second else ["requestsPerSecond is not set"]
    if price is None:
        missing.append("hourlyCost is not set, nor are prices of its resources")
    if missing:
        return "; ".join(missing)
    if question.traffic is not None and any(window.needed is None for window in windows):
        return f"no number of replicas keeps the P95 within {question.target_seconds:g} s"
    return ""


def _levers(
    question: Question,
    precisions: Sequence[PrecisionPlan],
    chosen: PrecisionPlan,
    week: Mapping[State, _WindowWeek],
    hours: Mapping[State, Decimal],
) -> Iterator[Lever]:
    """Yield the cost after each step.

    The first is the best quality, sized for the week's peak, around the clock, without a cache.
    """
    best = max((each for each in precisions if each.hourly_price is not None), key=lambda each: each.quality or 0)
    uncached = Workload(NO_CACHE, question.workload.service_variation)
    peak = max((part.peak or 0.0 for part in week.values()), default=0.0)

    def monthly(precision: PrecisionPlan, workload: Workload, *, clock: bool) -> Decimal | None:
        option = next(each for each in question.model.spec.precisions if each.name.value == precision.name)
        replica = replica_of(question.model, option)
        if replica is None or precision.hourly_price is None:
            return None
        total = Decimal()
        for state, length in hours.items():
            rate = peak if not clock or state not in week else week[state].peak or 0.0
            count = _needed(question, replica, rate, workload)
            if count is None:
                return None
            total += length * count
        return precision.hourly_price * total

    steps = (
        ("around the clock", best, uncached, False),
        ("by the clock", best, uncached, True),
        ("with the cache", best, question.workload, True),
        (f"at {chosen.name}", chosen, question.workload, True),
    )
    for name, precision, workload, clock in steps:
        amount = monthly(precision, workload, clock=clock)
        if amount is not None:
            yield Lever(name, amount)
