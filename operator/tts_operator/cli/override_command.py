"""`kubectl tts override`: other replica bounds for a limited time, which the calendar ends by itself."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tts_operator.calendar.calendar import UnknownTimeZone, time_zone
from tts_operator.cli.arguments import instant, rfc3339
from tts_operator.cli.command import Answer, CommandError
from tts_operator.cli.common_flags import add_tenant_flags
from tts_operator.fleet.kubectl import TENANTS, Kubectl

DURATION = re.compile(r"(?=.)(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,7})m)?", re.ASCII)
LONGEST = timedelta(days=366)
MOST_REPLICAS = 1000
WITHOUT_SCHEDULE = {"default": {"minReplicas": 1}}
"""A schedule of this default is what a tenant without a schedule has."""


def add_flags(command: argparse.ArgumentParser) -> None:
    add_tenant_flags(command)
    command.add_argument("--min", type=_replicas, metavar="N", help="Minimum number of replicas.")
    command.add_argument("--max", type=_replicas, metavar="N", help="Maximum number of replicas. (default: --min)")
    end = command.add_mutually_exclusive_group(required=True)
    end.add_argument(
        "--for", dest="length", type=_duration, metavar="TIME", help="Length of the override: 2h, 1h30m, 3d."
    )
    end.add_argument(
        "--until", type=instant, metavar="TIME", help="End of the override, in RFC 3339: 2026-11-30T18:00:00Z."
    )
    end.add_argument("--clear", action="store_true", help="End the present override now.")


def run(options: argparse.Namespace) -> Answer:
    """Set or end the override of a tenant's bounds."""
    return Answer.of(override(options, datetime.now(UTC)))


def override(options: argparse.Namespace, now: datetime) -> str:
    """Set or end the override, and return a sentence that says so. Raises CommandError and KubectlError."""
    wrong = _wrong(options)
    if wrong:
        raise CommandError(wrong)
    kubectl = Kubectl.of(options)
    tenant = kubectl.tenant(options.tenant, options.namespace)
    schedule: Mapping[str, Any] = tenant["spec"].get("schedule") or {}
    if options.clear:
        if "override" not in schedule:
            return f"{options.tenant} has no override\n"
        _patch(kubectl, options.tenant, {"override": None})
        return f"{options.tenant} follows its calendar again\n"
    until = options.until or (now + options.length).astimezone(UTC).replace(microsecond=0)
    if until <= now:
        raise CommandError(f"--until {rfc3339(until)} is past; now it is {rfc3339(now.replace(microsecond=0))}")
    most = options.min if options.max is None else options.max
    bounds = {"minReplicas": options.min, "maxReplicas": most, "until": rfc3339(until)}
    _patch(kubectl, options.tenant, {**({} if schedule else WITHOUT_SCHEDULE), "override": bounds})
    replicas = f"{most}" if most == options.min else f"{options.min} to {most}"
    return f"{options.tenant} has {replicas} replicas until {rfc3339(until)}{_local(until, schedule)}\n"


def _wrong(options: argparse.Namespace) -> str:
    if options.clear:
        return "--clear takes neither --min nor --max" if (options.min, options.max) != (None, None) else ""
    if options.min is None:
        return "--min is required; end an override with --clear"
    if options.max is not None and options.max < options.min:
        return f"--max {options.max} is less than --min {options.min}"
    return ""


def _patch(kubectl: Kubectl, tenant: str, schedule: Mapping[str, Any]) -> None:
    kubectl.patch(TENANTS, tenant, {"spec": {"schedule": schedule}})


def _local(until: datetime, schedule: Mapping[str, Any]) -> str:
    """The instant in the schedule's time zone, in brackets; empty for UTC."""
    zone = schedule.get("timeZone", "UTC")
    try:
        return "" if zone == "UTC" else f" ({until.astimezone(time_zone(zone)):%a %H:%M} {zone})"
    except UnknownTimeZone:  # the tenant's condition says so
        return ""


def _replicas(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST_REPLICAS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MOST_REPLICAS}")
    return int(text)


def _duration(text: str) -> timedelta:
    found = DURATION.fullmatch(text)
    days, hours, minutes = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    length = timedelta(days=days, hours=hours, minutes=minutes)
    if not timedelta() < length <= LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time such as 2h, 1h30m or 3d, of at most {LONGEST.days} days"
        )
    return length
