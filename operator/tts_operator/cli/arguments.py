"""Types of arguments that several commands of `kubectl tts` take. Each raises ArgumentTypeError with what to write."""

import argparse
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

from tts_operator.api.schedule import RFC3339
from tts_server.config.api_keys import NAME

YEARS = range(1900, 9000)
EXTENDED_RESOURCE = re.compile(r"[a-z0-9.-]+/[A-Za-z0-9._-]+")
DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")


def instant(text: str) -> datetime:
    """Instant in RFC 3339, whose offset is required: a time without one could be the tenant's, the reader's or UTC."""
    problem = f"{text!r} is not a time in RFC 3339 with an offset, such as 2026-11-11T00:00:00Z or ...+08:00"
    if not RFC3339.fullmatch(text):
        raise argparse.ArgumentTypeError(problem)
    try:
        parsed = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{problem} ({error})") from error
    if parsed.year not in YEARS:
        raise argparse.ArgumentTypeError(f"{text!r} is outside the years {YEARS[0]} to {YEARS[-1]}")
    return parsed


def utc_day(text: str) -> date:
    """A UTC day, as 2026-11-30."""
    try:
        parsed = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2026-11-30") from None
    return parsed


def rfc3339(time: datetime) -> str:
    """An instant in UTC, as 2026-11-11T00:00:00Z."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def number(low: float, high: float) -> Callable[[str], float]:
    """Numbers from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return parse


def money(text: str) -> str:
    """A price, as the API writes it: a decimal number that is not negative."""
    if not DECIMAL.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a price such as 0.0316")
    return text


def price_of_resource(text: str) -> tuple[str, Decimal]:
    """An extended resource and its price, as nvidia.com/gpu=2.10."""
    name, _, price = text.partition("=")
    if not EXTENDED_RESOURCE.fullmatch(name) or not DECIMAL.fullmatch(price):
        raise argparse.ArgumentTypeError(f"{text!r} is not a resource and its price, such as nvidia.com/gpu=2.10")
    return name, Decimal(price)


def score(text: str) -> Decimal:
    """A quality from 0 to 10."""
    if not DECIMAL.fullmatch(text) or Decimal(text) > 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not a quality from 0 to 10, such as 9.5")
    return Decimal(text)


def object_name(text: str) -> str:
    """A name of a namespace, tenant or Secret."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a name in Kubernetes: use at most 63 lower-case letters, digits and dashes"
        )
    return text


def key_name(text: str) -> str:
    """A name of an API key."""
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a key's name: use at most 63 letters, digits, dashes, dots and underscores"
        )
    return text
