"""`kubectl tts bill`: what tenants cost by the history of their replicas, and what they used by their ledgers."""

from __future__ import annotations

import argparse
import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from tts_operator.cli.arguments import object_name, utc_day
from tts_operator.cli.bill import DAY, Charge, by_tenant, charges, days, midnight, summed
from tts_operator.cli.bill_history import history, ledger_of_day
from tts_operator.cli.command import Answer, CommandError
from tts_operator.cli.common_flags import JSON, TABLE, YAML, add_output_flag, add_scope_flags, as_data
from tts_operator.cli.focus import row
from tts_operator.cli.tables import table
from tts_operator.fleet.kubectl import Kubectl
from tts_operator.fleet.port_forward import port_forward
from tts_operator.fleet.prometheus import prometheus
from tts_operator.objects.keys import Key

CSV = "csv"
PROMETHEUS_VARIABLE = "TTS_PROMETHEUS"
STEPS = (15, 30, 60, 300, 600, 3600)
"""Steps, seconds, that divide a day."""
HEADER = (
    *("NAMESPACE", "TENANT", "REPLICA HOURS", "COST", "REQUESTS", "CHARACTERS", "AUDIO", "PER 1M CHARS"),
    "PER AUDIO H",
)
CENT = Decimal("0.01")
SERVICE_PORT = 80


def add_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("tenant", nargs="?", type=object_name, metavar="TENANT", help="Only this tenant.")
    command.add_argument(
        "--from", dest="first", type=utc_day, metavar="DAY", help="First day, UTC. (default: the first of this month)"
    )
    command.add_argument(
        "--to", dest="end", type=utc_day, metavar="DAY", help="Day after the last one, UTC. (default: tomorrow)"
    )
    command.add_argument(
        "--prometheus",
        metavar="ADDRESS",
        help="Prometheus with the operator's metrics: a URL, or NAMESPACE/SERVICE:PORT, which is reached through the"
        f" API server. (default: {PROMETHEUS_VARIABLE} in the environment)",
    )
    command.add_argument(
        "--keys",
        metavar="FILE",
        help="File with a line NAMESPACE/TENANT KEY for each tenant whose ledger is to be read, which counts exactly."
        " (default: usage by the metrics of pods, without characters)",
    )
    command.add_argument("--currency", default="USD", metavar="CODE", help="Currency of prices. (default: USD)")
    command.add_argument(
        "--step",
        type=int,
        choices=STEPS,
        default=60,
        metavar="SECONDS",
        help=f"Seconds between samples of the history: {', '.join(map(str, STEPS))}. (default: 60)",
    )
    add_scope_flags(command)
    add_output_flag(command, (TABLE, CSV, JSON, YAML))


def run(options: argparse.Namespace) -> Answer:
    """The bill: a line for each tenant as a table, a row for each tenant and day otherwise."""
    today = datetime.now(UTC).date()
    first, end = options.first or today.replace(day=1), options.end or today + DAY
    if first >= end:
        raise CommandError(f"--to {end} is not later than --from {first}")
    address = options.prometheus or os.environ.get(PROMETHEUS_VARIABLE)
    if not address:
        raise CommandError(
            "--prometheus is required: the history of replicas is in the Prometheus that scrapes the operator; write"
            f" its URL or NAMESPACE/SERVICE:PORT, or set {PROMETHEUS_VARIABLE}"
        )
    keys = _keys(options.keys) if options.keys else {}
    kubectl = Kubectl.of(options)
    namespace = None if options.all_namespaces else kubectl.namespace()
    found: list[Charge] = []
    with prometheus(kubectl, address) as source:
        for day in days(first, end):
            found += charges(history(source, day, namespace, options.step), options.step)
    chosen = [each for each in found if options.tenant in (None, each.tenant.name)]
    chosen = _with_ledgers(kubectl, chosen, keys)
    hours = Decimal((min(midnight(end), datetime.now(UTC)) - midnight(first)).total_seconds()) / 3600
    note = basis(chosen, hours, options.step)
    if options.output == TABLE:
        return Answer(_table(by_tenant(chosen)), (note,))
    rows = [row(each, (midnight(first), midnight(end)), options.currency) for each in chosen]
    return Answer(_csv(rows) if options.output == CSV else as_data(options.output, rows), (note,))


def basis(found: Sequence[Charge], hours: Decimal, step_seconds: int) -> str:
    """Sentence about what the figures are based on, and what they lack."""
    if not found:
        return "The history in Prometheus has no tenant in this time: does it scrape the operator, with honorLabels?"
    tenants = by_tenant(found)
    gaps = sum(each.covered_hours < hours - Decimal(step_seconds) / 3600 for each in tenants)
    told = f"Cost: the operator's hourly cost of each tenant, every {step_seconds} s, as Prometheus has it"
    told += f"; {gaps} of {len(tenants)} tenants have no price for a part of the time." if gaps else ", without a gap."
    bases = sorted({each.usage.basis for each in tenants})
    return f"{told} Usage: {', '.join(bases)}."


def _with_ledgers(kubectl: Kubectl, found: Iterable[Charge], keys: Mapping[Key, str]) -> list[Charge]:
    """Replace usage by that of the ledger, where there is a key. Raises CommandError and KubectlError."""
    answered: dict[Key, str] = {}
    charged: list[Charge] = []
    with ExitStack() as stack:
        for each in found:
            if (key := keys.get(each.tenant)) is None:
                charged.append(each)
                continue
            if each.tenant not in answered:
                namespace, name = each.tenant
                forwarded = port_forward(kubectl, namespace, name, SERVICE_PORT)
                answered[each.tenant] = stack.enter_context(forwarded)
            charged.append(replace(each, usage=ledger_of_day(answered[each.tenant], key, each.start.date())))
    return charged


def _keys(path: str) -> dict[Key, str]:
    """Read keys by tenant. Raises CommandError with the line that is wrong; no key is shown."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise CommandError(f"--keys {path}: cannot be read: {why}") from None
    keys: dict[Key, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        namespace, _, tenant = words[0].partition("/")
        if len(words) != 2 or not tenant:
            raise CommandError(f"--keys {path}, line {number}: write NAMESPACE/TENANT, a space and the key")
        keys[Key(namespace, tenant)] = words[1]
    return keys


def _csv(rows: Sequence[Mapping[str, str | None]]) -> Iterator[str]:
    """Lines of comma-separated values; a null is empty."""
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    yield text.getvalue()


def _table(found: Sequence[Charge]) -> Iterator[str]:
    if not found:
        return
    total = replace(summed(found), tenant=Key("", "TOTAL"))
    yield from table([HEADER, *map(cells, (*found, total))])


def cells(charge: Charge) -> tuple[str, ...]:
    """One line of the table."""
    usage = charge.usage
    return (
        *charge.tenant,
        f"{charge.replica_hours:.2f}",
        f"{charge.cost:.2f}",
        str(usage.requests),
        "-" if usage.characters is None else str(usage.characters),
        f"{usage.audio_seconds / 3600:.2f} h",
        _money(charge.per_million_characters),
        _money(charge.per_audio_hour),
    )


def _money(amount: Decimal | None) -> str:
    return "-" if amount is None else f"{amount.quantize(CENT):f}"
