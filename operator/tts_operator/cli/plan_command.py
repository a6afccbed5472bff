"""`kubectl tts plan`: what a tenant's schedule carries and costs, and what would cost less. It needs no cluster."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from tts_operator.api import TTSModel, TTSTenant
from tts_operator.calendar.calendar import time_zone
from tts_operator.calendar.window_settings import precisions_by_window
from tts_operator.cli.arguments import instant, money, number, price_of_resource, rfc3339, score
from tts_operator.cli.command import Answer, CommandError, ExitStatus
from tts_operator.cli.common_flags import JSON, TABLE, add_file_flags, add_output_flag
from tts_operator.cli.schedule_files import ScheduleFiles
from tts_operator.cli.tables import table
from tts_operator.cli.tenant_file import TenantFileError, calendars_in, documents_of, models_in, tenant_in
from tts_operator.planner.plan import Plan, PrecisionPlan, Question, WindowPlan, make_plan
from tts_operator.planner.queueing import Workload
from tts_operator.planner.traffic import COLUMNS, Traffic, TrafficError
from tts_operator.resolve.pools import loaded_precisions
from tts_operator.resolve.precision import PrecisionChoice
from tts_operator.settings import Prices

CENT = Decimal("0.01")


def add_flags(command: argparse.ArgumentParser) -> None:
    add_file_flags(command, "the TTSTenant, TTSModels or TTSCalendars")
    load = command.add_mutually_exclusive_group()
    load.add_argument(
        "--traffic",
        metavar="CSV",
        help=f"File with the requests of a week, local time: a line {','.join(COLUMNS)}, then such as Mon,9,12.5.",
    )
    load.add_argument(
        "--requests-per-second", type=number(0, 1_000_000), metavar="N", help="The same traffic in every hour."
    )
    command.add_argument(
        "--cache-ratio",
        type=number(0, 1),
        default=0.0,
        metavar="N",
        help="Fraction of requests, 0 to 1, that the cache answers. (default: 0)",
    )
    command.add_argument(
        "--p95-seconds",
        type=number(0.001, 3600),
        default=3.0,
        metavar="N",
        help="Longest P95 of a request, from its arrival to its end. (default: 3)",
    )
    command.add_argument(
        "--quality-floor",
        type=score,
        default=Decimal(),
        metavar="N",
        help="Lowest quality, 0 to 10, of a precision that may be recommended. (default: none)",
    )
    command.add_argument(
        "--cpu-hour", type=money, metavar="PRICE", help="Price of a CPU hour, for models without hourlyCost."
    )
    command.add_argument(
        "--memory-gib-hour", type=money, metavar="PRICE", help="Price of a GiB hour, for models without hourlyCost."
    )
    command.add_argument(
        "--extended-resource-hour",
        type=price_of_resource,
        action="append",
        default=[],
        metavar="RESOURCE=PRICE",
        help="Price of a unit of an extended resource for an hour, such as nvidia.com/gpu=2.10, for models without"
        " hourlyCost. Repeat it for several resources.",
    )
    command.add_argument(
        "--from", dest="start", type=instant, metavar="TIME", help="Start of the week, in RFC 3339. (default: now)"
    )
    add_output_flag(command, (TABLE, JSON))


def run(options: argparse.Namespace) -> Answer:
    """The plan as text, or as JSON. Its status is NEGATIVE for traffic that no precision can be recommended for."""
    tenant, model = _read(options)
    precision, _ = loaded_precisions(model, tenant, tenant.spec.models[0])
    plan = make_plan(
        Question(
            schedule=tenant.spec.schedule,
            model=model,
            precision=precision.name,
            start=options.start or datetime.now(UTC).replace(second=0, microsecond=0),
            traffic=_traffic(options),
            workload=Workload(options.cache_ratio),
            quality_floor=options.quality_floor,
            target_seconds=options.p95_seconds,
            prices=Prices(
                cpu_hour=options.cpu_hour,
                memory_gib_hour=options.memory_gib_hour,
                extended_resources_hour=dict(options.extended_resource_hour),
            ),
        )
    )
    parts = [_json(plan)] if options.output == JSON else [*_text(plan), *_remarks(tenant, model, precision)]
    in_vain = plan.question.traffic is not None and plan.chosen is None
    return Answer(parts, status=ExitStatus.NEGATIVE if in_vain else ExitStatus.DONE)


def _remarks(tenant: TTSTenant, model: TTSModel, precision: PrecisionChoice) -> Iterator[str]:
    """Sentences about what the reader might expect otherwise."""
    if precision.reason == "NotOffered":
        yield f"\n{precision.message[:1].upper()}{precision.message[1:]}.\n"
    own = [f"{window} {name}" for window, name in precisions_by_window(tenant.spec.schedule) if name is not None]
    if own:
        yield f"\nWindows with a precision of their own: {', '.join(own)}; WINDOW and the cost as written have it.\n"
    others = [each.name for each in tenant.spec.models[1:]]
    if model.spec.fallback is not None:
        others.append(model.spec.fallback.model_ref.name)
    if others:
        name = model.metadata.name
        yield f"\nThis is the plan of {name} alone; pools of {', '.join(dict.fromkeys(others))} cost besides.\n"


def _read(options: argparse.Namespace) -> tuple[TTSTenant, TTSModel]:
    try:
        objects = documents_of(options.filename)
        tenant, models = tenant_in(objects, options.tenant, options.namespace), models_in(objects)
        found = ScheduleFiles.of(tenant, calendars_in(objects))
    except TenantFileError as error:
        raise CommandError(*error.problems) from None
    if left_out := list(found.left_out()):
        raise CommandError(*left_out)
    tenant = found.tenant
    name = tenant.spec.models[0].name
    if name not in models:
        raise CommandError(
            f"TTSModel {name} is in none of the files; add it: kubectl get ttsmodel {name} -o yaml > model.yaml, and"
            " -f model.yaml"
        )
    return tenant, models[name]


def _traffic(options: argparse.Namespace) -> Traffic | None:
    if options.requests_per_second is not None:
        return Traffic.constant(options.requests_per_second)
    if options.traffic is None:
        return None
    try:
        with Path(options.traffic).open(encoding="utf-8-sig", newline="") as file:
            return Traffic.of_csv(file)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"{options.traffic}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}"
        ) from None
    except TrafficError as error:
        raise CommandError(f"{options.traffic}: {error}") from None


def _text(plan: Plan) -> Iterator[str]:
    question = plan.question
    zone = question.schedule.time_zone if question.schedule else "UTC"
    name, local = question.model.metadata.name, time_zone(zone)
    yield f"{name} at {question.precision}, week from {question.start.astimezone(local):%a %Y-%m-%d %H:%M} {zone}\n\n"
    yield from table([WINDOW_HEADER, *map(_window_cells, plan.written)])
    month = f"{plan.month[0].astimezone(local):%Y-%m}"
    yield f"\nCost of {month} at the minimum of each window: {_money(plan.written_monthly)}\n\n"
    states = [window.state.window for window in plan.written]
    yield from table(
        [(*PRECISION_HEADER, *states, "MONTH", "NOTE"), *(_precision_cells(plan, each) for each in plan.precisions)]
    )
    if plan.question.traffic is None:
        yield "\nWithout --traffic or --requests-per-second nothing can be recommended.\n"
        return
    if plan.chosen is None:
        yield "\nNo precision can be recommended: see NOTE.\n"
        return
    yield "\n"
    yield from table([LEVER_HEADER, *_lever_cells(plan)])


WINDOW_HEADER = ("WINDOW", "HOURS", "MIN", "MAX", "PEAK/S", "P95 AT MIN", "P95 AT MAX")
PRECISION_HEADER = ("PRECISION", "QUALITY", "PRICE/H")
LEVER_HEADER = ("REPLICAS NEEDED", "MONTH", "SAVED")


def _window_cells(window: WindowPlan) -> tuple[str, ...]:
    bounds = window.state.bounds
    return (
        window.state.window,
        f"{window.hours:.4g}",
        str(bounds.min_replicas),
        str(bounds.max_replicas),
        "-" if window.peak is None else f"{window.peak:g}",
        _seconds(window.p95_at_min),
        _seconds(window.p95_at_max),
    )


def _precision_cells(plan: Plan, precision: PrecisionPlan) -> tuple[str, ...]:
    note = precision.problem or ("cheapest" if precision is plan.chosen else "")
    return (
        precision.name,
        "-" if precision.quality is None else str(precision.quality),
        "-" if precision.hourly_price is None else f"{precision.hourly_price:f}",
        *("-" if window.needed is None else str(window.needed) for window in precision.windows),
        _money(precision.monthly),
        note,
    )


def _lever_cells(plan: Plan) -> Iterator[tuple[str, ...]]:
    first = plan.levers[0].monthly
    for lever in plan.levers:
        saved = 1 - lever.monthly / first if first else Decimal()
        yield lever.name, _money(lever.monthly), f"{saved:.0%}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return "overloaded" if math.isinf(seconds) else f"{seconds:.2f} s"


def _money(amount: Decimal | None) -> str:
    return "-" if amount is None else f"{amount.quantize(CENT, ROUND_HALF_UP):f}"


def _json(plan: Plan) -> str:
    def window(each: WindowPlan) -> dict[str, Any]:
        return {
            "window": each.state.window,
            "minReplicas": each.state.bounds.min_replicas,
            "maxReplicas": each.state.bounds.max_replicas,
            "hoursPerWeek": float(each.hours),
            "peakRequestsPerSecond": each.peak,
            "p95SecondsAtMin": _finite(each.p95_at_min),
            "p95SecondsAtMax": _finite(each.p95_at_max),
            "replicasNeeded": each.needed,
        }

    def precision(each: PrecisionPlan) -> dict[str, Any]:
        return {
            "precision": each.name,
            "quality": None if each.quality is None else str(each.quality),
            "hourlyCost": None if each.hourly_price is None else f"{each.hourly_price:f}",
            "monthly": None if each.monthly is None else _money(each.monthly),
            "problem": each.problem or None,
            "windows": [window(one) for one in each.windows],
        }

    content = {
        "from": rfc3339(plan.question.start),
        "month": {"from": rfc3339(plan.month[0]), "to": rfc3339(plan.month[1])},
        "model": plan.question.model.metadata.name,
        "precision": plan.question.precision,
        "windows": [window(each) for each in plan.written],
        "monthly": None if plan.written_monthly is None else _money(plan.written_monthly),
        "precisions": [precision(each) for each in plan.precisions],
        "recommended": plan.chosen.name if plan.chosen else None,
        "levers": [{"name": lever.name, "monthly": _money(lever.monthly)} for lever in plan.levers],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _finite(seconds: float | None) -> float | None:
    """JSON has no infinity: an overloaded queue has no P95."""
    return None if seconds is None or math.isinf(seconds) else round(seconds, 3)
