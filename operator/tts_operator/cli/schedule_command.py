"""`kubectl tts schedule`: the state of a schedule, and when it changes. It needs no cluster."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tts_operator.api import Schedule
from tts_operator.calendar.bounds import Bounds
from tts_operator.calendar.calendar import changes, never_open, state_at, states, time_zone
from tts_operator.calendar.window_settings import has_precisions, precision_in
from tts_operator.cli.arguments import instant, rfc3339
from tts_operator.cli.command import Answer, CommandError
from tts_operator.cli.common_flags import JSON, TABLE, add_file_flags, add_output_flag
from tts_operator.cli.schedule_files import read_schedule
from tts_operator.cli.tables import line
from tts_operator.cli.tenant_file import TenantFileError

DEFAULT_SPAN = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Row:
    """State of a schedule from `at` on."""

    at: datetime
    window: str
    bounds: Bounds


def add_flags(command: argparse.ArgumentParser) -> None:
    add_file_flags(command, "the TTSTenant or with TTSCalendars")
    command.add_argument(
        "--from",
        dest="start",
        type=instant,
        metavar="TIME",
        help="Start, in RFC 3339: 2026-11-11T00:00:00Z. (default: now)",
    )
    command.add_argument(
        "--to",
        dest="end",
        type=instant,
        metavar="TIME",
        help="End, in RFC 3339; changes at this instant are not shown. (default: 7 days after --from)",
    )
    add_output_flag(command, (TABLE, JSON))


def run(options: argparse.Namespace) -> Answer:
    """The state at --from, then every change before --to."""
    start = options.start or datetime.now(UTC).replace(microsecond=0)
    end = options.end or start + DEFAULT_SPAN
    if end <= start:
        raise CommandError(f"--to {rfc3339(end)} is not later than --from {rfc3339(start)}")
    try:
        found = read_schedule(options.filename, options.tenant, options.namespace)
    except TenantFileError as error:
        raise CommandError(*error.problems) from None
    rows = _rows(found.schedule, start, end)
    notes = tuple(f"warning: {sentence}" for sentence in (*never_open(found.schedule), *found.left_out()))
    parts = _json(rows, found.schedule) if options.output == JSON else _table(rows, found.schedule)
    return Answer(parts, notes)


def _rows(schedule: Schedule | None, start: datetime, end: datetime) -> Iterator[Row]:
    now = state_at(schedule, start)
    yield Row(start, now.window, now.bounds)
    for change in changes(schedule, start, end):
        yield Row(change.at, change.window, change.bounds)


def _json(rows: Iterator[Row], schedule: Schedule | None) -> Iterator[str]:
    """Parts of a JSON list of at least one entry, one at a time: the rows of a long span may not fit into memory."""
    before = "[\n"
    for row in rows:
        entry = {
            "time": rfc3339(row.at),
            "window": row.window,
            "minReplicas": row.bounds.min_replicas,
            "maxReplicas": row.bounds.max_replicas,
        }
        if (wanted := precision_in(schedule, row.window)) is not None:
            entry["precision"] = wanted.value
        yield before + textwrap.indent(json.dumps(entry, indent=2), "  ")
        before = ",\n"
    yield "\n]\n"


def _table(rows: Iterator[Row], schedule: Schedule | None) -> Iterator[str]:
    """Lines of a table. Columns fit every window of the schedule, whether it opens in this span or not."""
    zone_name = schedule.time_zone if schedule else "UTC"
    zone, in_utc = time_zone(zone_name), zone_name == "UTC"

    def cells(row: Row) -> tuple[str, ...]:
        local = row.at.astimezone(zone)
        wall = f"{local:%a}" if in_utc else f"{local:%a %Y-%m-%d %H:%M:%S %z}"
        told = (rfc3339(row.at), wall, row.window, str(row.bounds.min_replicas), str(row.bounds.max_replicas))
        return (*told, precision_in(schedule, row.window) or "-") if with_precision else told

    with_precision = has_precisions(schedule)
    header: tuple[str, ...] = ("UTC", "WEEKDAY" if in_utc else zone_name.upper(), "WINDOW", "MIN", "MAX")
    if with_precision:
        header = (*header, "PRECISION")
    first = cells(next(rows))
    widest = [header, first, *(("", "", state.window, *[""] * (len(header) - 3)) for state in states(schedule))]
    widths = [max(map(len, column)) for column in zip(*widest, strict=True)]
    for each in (header, first):
        yield line(each, widths)
    for row in rows:
        yield line(cells(row), widths)
