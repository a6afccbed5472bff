"""The kubectl plugin: `kubectl tts schedule` and `kubectl tts keygen`. It needs no cluster."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tts_operator.api import Schedule
from tts_operator.api.support import unsupported_in_tenant
from tts_operator.calendar.bounds import Bounds
from tts_operator.calendar.calendar import changes, never_open, state_at, states, time_zone
from tts_operator.cli.api_keys import NAME, APIKey, secret_manifest
from tts_operator.cli.tenant_file import STDIN, TenantFileError, read_tenant
from tts_operator.objects.names import keys_secret_name

RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[-+]\d{2}:\d{2})")
YEARS = range(1900, 9000)
DEFAULT_SPAN = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Row:
    """From `at` on, `window` holds."""

    at: datetime
    window: str
    bounds: Bounds


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0; 1 where the input is at fault; argparse leaves with 2 for a wrong command line."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; nothing may be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def schedule(options: argparse.Namespace) -> int:
    """Prints the state at --from, then every change before --to."""
    name = "standard input" if options.filename == STDIN else options.filename
    start = options.start or datetime.now(UTC).replace(microsecond=0)
    end = options.end or start + DEFAULT_SPAN
    if end <= start:
        return _fail(f"--to {_rfc3339(end)} is not later than --from {_rfc3339(start)}")
    try:
        tenant = read_tenant(options.filename, options.tenant, options.namespace)
    except TenantFileError as error:
        return _fail(*(f"{name}: {problem}" for problem in error.problems))
    for later in unsupported_in_tenant(tenant.spec):
        if later.startswith("spec.schedule"):
            print(f"warning: {later} is not supported yet: the operator refuses this tenant", file=sys.stderr)
    for sentence in never_open(tenant.spec.schedule):
        print(f"warning: {sentence}", file=sys.stderr)
    rows = _rows(tenant.spec.schedule, start, end)
    for part in _json(rows) if options.output == "json" else _table(rows, tenant.spec.schedule):
        print(part, end="")
    return 0


def keygen(options: argparse.Namespace) -> int:
    """Prints a new key to standard error, and the Secret with its hash to standard output."""
    key = APIKey.new(options.name)
    secret_name = options.secret or (keys_secret_name(options.tenant) if options.tenant else "tts-keys")
    print(f"API key {key.name}, shown only now:\n\n    {key.secret}\n", file=sys.stderr)
    print(secret_manifest(key, secret_name, options.namespace), end="")
    return 0


def _rows(calendar: Schedule | None, start: datetime, end: datetime) -> Iterator[Row]:
    now = state_at(calendar, start)
    yield Row(start, now.window, now.bounds)
    for change in changes(calendar, start, end):
        yield Row(change.at, change.window, change.bounds)


def _json(rows: Iterator[Row]) -> Iterator[str]:
    """Parts of a list that has at least one entry: there may be more rows than fit into memory."""
    before = "[\n"
    for row in rows:
        entry = {
            "time": _rfc3339(row.at),
            "window": row.window,
            "minReplicas": row.bounds.min_replicas,
            "maxReplicas": row.bounds.max_replicas,
        }
        yield before + textwrap.indent(json.dumps(entry, indent=2), "  ")
        before = ",\n"
    yield "\n]\n"


def _table(rows: Iterator[Row], calendar: Schedule | None) -> Iterator[str]:
    """Lines. Columns have room for every window of the calendar, whether it opens in this time or not."""
    zone_name = calendar.time_zone if calendar else "UTC"
    zone, in_utc = time_zone(zone_name), zone_name == "UTC"

    def cells(row: Row) -> tuple[str, ...]:
        local = row.at.astimezone(zone)
        wall = f"{local:%a}" if in_utc else f"{local:%a %Y-%m-%d %H:%M:%S %z}"
        return (_rfc3339(row.at), wall, row.window, str(row.bounds.min_replicas), str(row.bounds.max_replicas))

    header = ("UTC", "WEEKDAY" if in_utc else zone_name.upper(), "WINDOW", "MIN", "MAX")
    first = cells(next(rows))
    widest = [header, first, *(("", "", state.window, "", "") for state in states(calendar))]
    widths = [max(map(len, column)) for column in zip(*widest, strict=True)]
    for line in (header, first):
        yield _line(line, widths)
    for row in rows:
        yield _line(cells(row), widths)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "   ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() + "\n"


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _fail(*problems: str) -> int:
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1


def _instant(text: str) -> datetime:
    """RFC 3339, whose offset is required: a time without one could be the tenant's, the reader's or UTC."""
    problem = f"{text!r} is not a time as RFC 3339 writes it, with its offset: write 2026-11-11T00:00:00Z or +08:00"
    if not RFC3339.fullmatch(text):
        raise argparse.ArgumentTypeError(problem)
    try:
        instant = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{problem} ({error})") from error
    if instant.year not in YEARS:
        raise argparse.ArgumentTypeError(f"{text!r} is outside the years {YEARS[0]} to {YEARS[-1]}")
    return instant


def _key_name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot name a key: at most 63 letters, digits, dashes, dots and underscores"
        )
    return text


def _object_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name in Kubernetes: lower-case letters, digits and dashes")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubectl tts", description="Tools for tenants of TTS Fleet.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("schedule", help="what a tenant's calendar does between two instants")
    command.add_argument(
        "-f",
        "--filename",
        required=True,
        metavar="FILE",
        help="file with the TTSTenant, in YAML or JSON; - reads stdin",
    )
    command.add_argument("--tenant", metavar="NAME", help="which TTSTenant, where the file has several")
    command.add_argument("-n", "--namespace", metavar="NAMESPACE", help="in which namespace, where that is not enough")
    command.add_argument(
        "--from", dest="start", type=_instant, metavar="T", help="RFC 3339, such as 2026-11-11T00:00:00Z; default: now"
    )
    command.add_argument(
        "--to", dest="end", type=_instant, metavar="T", help="RFC 3339, itself excluded; default: 7 days after --from"
    )
    command.add_argument("-o", "--output", choices=("json", "table"), default="table", help="default: table")
    command.set_defaults(run=schedule)

    command = commands.add_parser("keygen", help="a new API key, and the Secret that holds its hash")
    whose = command.add_mutually_exclusive_group()
    whose.add_argument(
        "--tenant", type=_object_name, metavar="NAME", help="the tenant; its server reads the Secret NAME-keys"
    )
    whose.add_argument(
        "--secret", type=_object_name, metavar="NAME", help="the Secret that its spec.auth.apiKeysSecretRef names"
    )
    command.add_argument("-n", "--namespace", type=_object_name, metavar="NAMESPACE", help="the tenant's namespace")
    command.add_argument(
        "--name", type=_key_name, metavar="NAME", help="whose key it is, for revoking; default: made from its hash"
    )
    command.set_defaults(run=keygen)
    return parser


if __name__ == "__main__":
    sys.exit(main())
