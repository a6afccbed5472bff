"""Plugin of kubectl: `schedule` and `plan` need no cluster, `status` and `why` read one, the others change one."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tts_operator.api import Schedule
from tts_operator.calendar.bounds import Bounds
from tts_operator.calendar.calendar import changes, never_open, state_at, states, time_zone
from tts_operator.calendar.tz_database import use_pinned_database, version_line
from tts_operator.calendar.window_settings import has_precisions, precision_in
from tts_operator.cli.add_key import (
    add_key,
    revoke_command,
    secret_of_name,
    secret_of_tenant,
)
from tts_operator.cli.api_keys import APIKey, secret_manifest
from tts_operator.cli.arguments import instant, object_name, rfc3339
from tts_operator.cli.console_command import add_console_flags, console
from tts_operator.cli.kubectl import Kubectl, KubectlError, add_cluster_flags
from tts_operator.cli.override_command import add_override_flags, override
from tts_operator.cli.plan_command import PlanError, add_plan_flags, plan_answer
from tts_operator.cli.schedule_files import read_schedule
from tts_operator.cli.standard_output import reader_may_exit
from tts_operator.cli.status_command import add_status_flags, status_text
from tts_operator.cli.tables import line
from tts_operator.cli.tenant_file import TenantFileError
from tts_operator.cli.why_command import add_why_flags, why_text
from tts_operator.objects.names import keys_secret_name
from tts_server.config.api_keys import NAME

DEFAULT_SPAN = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Row:
    """State of a schedule from `at` on."""

    at: datetime
    window: str
    bounds: Bounds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, 1 for a file that cannot be used, or 3 for a plan without a recommendation.

    argparse exits with 2 for a wrong flag.
    """
    use_pinned_database()
    with reader_may_exit():
        options, unknown = _parser().parse_known_args(arguments)
        if unknown:  # the parser of all commands would show its own flags
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        status: int = options.run(options)
    return status


def schedule(options: argparse.Namespace) -> int:
    """Print the state at --from, then every change before --to."""
    start = options.start or datetime.now(UTC).replace(microsecond=0)
    end = options.end or start + DEFAULT_SPAN
    if end <= start:
        return _fail(f"--to {rfc3339(end)} is not later than --from {rfc3339(start)}")
    try:
        found = read_schedule(options.filename, options.tenant, options.namespace)
    except TenantFileError as error:
        return _fail(*error.problems)
    for sentence in (*never_open(found.schedule), *found.left_out()):
        print(f"warning: {sentence}", file=sys.stderr)
    rows = _rows(found.schedule, start, end)
    for part in _json(rows, found.schedule) if options.output == "json" else _table(rows, found.schedule):
        print(part, end="")
    return 0


def plan(options: argparse.Namespace) -> int:
    """Print what a tenant's schedule carries and costs, and what would cost less."""
    try:
        answer = plan_answer(options)
    except PlanError as error:
        return _fail(*error.problems)
    print(answer.text, end="")
    return answer.status


def override_replicas(options: argparse.Namespace) -> int:
    """Set or end the override of a tenant's bounds."""
    try:
        print(override(options, datetime.now(UTC)), end="")
    except KubectlError as error:
        return _fail(str(error))
    return 0


def status(options: argparse.Namespace) -> int:
    """Print every tenant on a line."""
    try:
        print(status_text(options), end="")
    except KubectlError as error:
        return _fail(str(error))
    return 0


def why(options: argparse.Namespace) -> int:
    """Print why a tenant is not ready."""
    try:
        print(why_text(options, datetime.now(UTC)), end="")
    except KubectlError as error:
        return _fail(str(error))
    return 0


def console_page(options: argparse.Namespace) -> int:
    """Serve the console until Ctrl+C."""
    try:
        console(options, lambda url: print(f"{url}\nCtrl+C ends the console.", flush=True))
    except KubectlError as error:
        return _fail(str(error))
    return 0


def keygen(options: argparse.Namespace) -> int:
    """Add a new key to a tenant's Secret and print it, or print a Secret with its hash as YAML."""
    key = APIKey.new(options.name)
    if options.output == "yaml":
        secret_name = options.secret or keys_secret_name(options.tenant)
        print(f"API key {key.name}. Save it now; it cannot be shown again:\n\n    {key.secret}\n", file=sys.stderr)
        print(secret_manifest(key, secret_name, options.namespace), end="")
        return 0
    kubectl = Kubectl.of(options)
    try:
        if options.secret:
            secret = secret_of_name(kubectl, options.secret, options.namespace)
        else:
            secret = secret_of_tenant(kubectl, options.tenant, options.namespace)
        add_key(kubectl, secret, key)
    except KubectlError as error:
        return _fail(str(error))
    print(key.secret)
    print(
        f"API key {key.name} of {secret.namespace}/{secret.tenant}: save it now, it cannot be shown again. Clients send"
        f" it as `Authorization: Bearer KEY`.\nThe Secret {secret.name} holds its hash. To revoke the key:\n"
        f"  {revoke_command(secret, key.name)}",
        file=sys.stderr,
    )
    return 0


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


def _fail(*problems: str) -> int:
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1


def _key_name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a key's name: use at most 63 letters, digits, dashes, dots and underscores"
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kubectl tts",
        description="See tenants of TTS Fleet, preview schedules, plan costs and make API keys.",
        epilog="kubectl tts COMMAND --help lists the flags of a command.",
    )
    parser.add_argument("--version", action="version", version=version_line("kubectl-tts"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    status_command = commands.add_parser(
        "status",
        help="Show every tenant on a line, those with problems first.",
        description="Show every tenant of a namespace, or of all, on a line: whether it is ready, the window of its"
        " schedule, its replicas within their bounds, the next window, and the cost of an hour. Those that are not"
        " ready come first.",
        epilog="Example: kubectl tts status -A",
    )
    add_status_flags(status_command)
    status_command.set_defaults(run=status)
    why_command = commands.add_parser(
        "why",
        help="Show on one page why a tenant is not ready.",
        description="Show the condition Ready of a tenant with what to do, and on the same page its other conditions"
        " that tell something, its pools, pods and latest events.",
        epilog="Example: kubectl tts why acme -n team-acme",
    )
    add_why_flags(why_command)
    why_command.set_defaults(run=why)
    _add_schedule_flags(
        commands.add_parser(
            "schedule",
            help="Show when a tenant's schedule changes its replica bounds.",
            description="Show the window and the replica bounds that hold at --from, and every change before --to.",
            epilog="Example: kubectl tts schedule -f tenant.yaml --from 2026-11-11T00:00:00+08:00",
        )
    )
    plan_command = commands.add_parser(
        "plan",
        help="Show what a tenant's schedule carries and costs, and what would cost less.",
        description="Show every window of a week with its bounds, its load and the P95 of its requests, the cost of the"
        " month, and the cheapest precision and replicas that carry the traffic. Requests are simulated with the"
        " requestsPerSecond, quality and hourlyCost of the TTSModel.",
        epilog="Exits with 3 if there is traffic and no precision can be recommended for it. Example: kubectl tts plan"
        " -f tenant.yaml -f model.yaml --requests-per-second 20 --quality-floor 9",
    )
    add_plan_flags(plan_command)
    plan_command.set_defaults(run=plan)
    override_command = commands.add_parser(
        "override",
        help="Set other replica bounds for a limited time.",
        description="Set replica bounds of a tenant that take precedence over its calendar for a time. They end by"
        " themselves.",
        epilog="Example: kubectl tts override acme -n team-acme --min 6 --max 20 --for 2h",
    )
    add_override_flags(override_command)
    override_command.set_defaults(run=override_replicas)
    _add_keygen_flags(
        commands.add_parser(
            "keygen",
            help="Make an API key, and add its hash to the Secret that the tenant reads.",
            description="Make an API key, add its SHA-256 to the Secret that the tenant reads, and print the key to"
            " standard output. The other keys of the Secret stay. With -o yaml: print the key to standard error and a"
            " Secret with its SHA-256 to standard output, without a cluster.",
            epilog="Example: kubectl tts keygen --tenant acme -n team-acme --name laptop",
        )
    )
    console_command = commands.add_parser(
        "console",
        help="Open a web page with all tenants, their calendars, rollouts and voices.",
        description="Serve a web page on this machine, over your own kubeconfig: a live table of tenants with their"
        " calendars, rollouts, a page for each tenant with a playground, and the voices. Nothing of it runs in the"
        " cluster. The address holds a token that changes with each start.",
        epilog="Example: kubectl tts console -n team-acme",
    )
    add_console_flags(console_command)
    console_command.set_defaults(run=console_page)
    for command in commands.choices.values():
        command.set_defaults(parser=command)
    return parser


def _add_schedule_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-f",
        "--filename",
        required=True,
        action="append",
        metavar="FILE",
        help="File with the TTSTenant or with TTSCalendars, in YAML or JSON; - reads standard input. Repeat it for"
        " several files. (required)",
    )
    command.add_argument("--tenant", metavar="NAME", help="Name of the TTSTenant, if the files hold several.")
    command.add_argument(
        "-n", "--namespace", metavar="NAMESPACE", help="Namespace of the TTSTenant, if the files hold several."
    )
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
    command.add_argument(
        "-o", "--output", choices=("json", "table"), default="table", help="Format of the output. (default: table)"
    )
    command.set_defaults(run=schedule)


def _add_keygen_flags(command: argparse.ArgumentParser) -> None:
    target = command.add_mutually_exclusive_group(required=True)
    target.add_argument("--tenant", type=object_name, metavar="NAME", help="Name of the tenant that reads the Secret.")
    target.add_argument(
        "--secret",
        type=object_name,
        metavar="NAME",
        help="Name of the Secret, as in spec.auth.apiKeysSecretRef of a tenant.",
    )
    command.add_argument("-n", "--namespace", type=object_name, metavar="NAMESPACE", help="Namespace of the tenant.")
    command.add_argument(
        "--name",
        type=_key_name,
        metavar="NAME",
        help="Name of the key, by which it is revoked. (default: from its hash)",
    )
    command.add_argument(
        "-o",
        "--output",
        choices=("key", "yaml"),
        default="key",
        help="Output: the key, once the Secret has its hash, or the Secret for a file. (default: key)",
    )
    add_cluster_flags(command)
    command.set_defaults(run=keygen)


if __name__ == "__main__":
    sys.exit(main())
