"""The history that a bill is made of: replicas and cost from Prometheus, usage from the ledger or from metrics."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from tts_operator.cli.bill import DAY, INCOMPLETE_LEDGER, LEDGER, METRICS, History, Usage, midnight
from tts_operator.cli.command import CommandError
from tts_operator.cli.speech_request import error_of
from tts_operator.fleet.prometheus import Prometheus, Series
from tts_operator.objects.keys import Key

COST, REPLICAS = "tts_operator_tenant_hourly_cost", "tts_operator_tenant_replicas"
LEADING = "and on (instance, pod) (tts_operator_leading == 1)"
"""Operators that do not lead may have old values."""
LEDGER_SECONDS = 30.0


def history(source: Prometheus, day: date, namespace: str | None, step_seconds: int) -> History:
    """Sums over a UTC day, with one sample for each step. Raises PrometheusError."""
    chosen = f'{{namespace="{namespace}"}}' if namespace else ""
    last = midnight(day) + DAY - timedelta(seconds=step_seconds)
    # Half a step less than to the step before midnight: whether a range includes its beginning differs by release.
    span = f"{int(DAY.total_seconds()) - step_seconds // 2}s:{step_seconds}s"

    def over_day(function: str, metric: str) -> dict[Key, Decimal]:
        expression = f"{function}(max by (namespace, tenant) ({metric}{chosen} {LEADING})[{span}])"
        return by_key(source.query(expression, last))

    return History(
        day,
        over_day("sum_over_time", COST),
        over_day("sum_over_time", REPLICAS),
        over_day("count_over_time", COST),
        usage_by_metrics(source, day, chosen),
    )


def usage_by_metrics(source: Prometheus, day: date, chosen: str) -> dict[Key, Usage]:
    """Requests and audio by the pods' counters. Prometheus extrapolates to the ends of the day."""
    end = midnight(day) + DAY
    entry = "and on (namespace, pod) (tts_entry_pool == 1)"

    def increase(metric: str, labels: str) -> dict[Key, Decimal]:
        inside = ",".join(filter(None, (chosen.strip("{}"), labels)))
        selector = f"{metric}{{{inside}}}" if inside else metric
        # Pods that ended before the end of the day have no tts_entry_pool then: the last value in the day counts.
        pods = entry.replace("tts_entry_pool", "last_over_time(tts_entry_pool[1d])")
        return by_key(source.query(f"sum by (namespace, tenant) (increase({selector}[1d]) {pods})", end))

    requests = increase("tts_requests_total", 'status_code="200"')
    audio = increase("tts_audio_seconds_total", "")
    return {
        key: Usage(int(requests.get(key, Decimal()).to_integral_value()), None, audio.get(key, Decimal()), METRICS)
        for key in {*requests, *audio}
    }


def by_key(series: list[Series]) -> dict[Key, Decimal]:
    """Values by tenant; series that name none are left out."""
    return {
        Key(each.labels["namespace"], each.labels["tenant"]): each.value
        for each in series
        if each.labels.get("namespace") and each.labels.get("tenant")
    }


def ledger_of_day(url: str, key: str, day: date) -> Usage:
    """Read the ledger of a UTC day from the tenant's endpoint. Raises CommandError."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=LEDGER_SECONDS)
    try:
        path = f"{parts.path.rstrip('/')}/v1/usage?day={day.isoformat()}"
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"the ledger at {url} cannot be read: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise CommandError(f"the ledger at {url} answered {response.status}: {error_of(body)[0]}")
    return usage_of(json.loads(body, parse_float=Decimal))


def usage_of(ledger: Mapping[str, Any]) -> Usage:
    """Usage that an answer of /v1/usage tells."""
    total = ledger["total"]
    basis = LEDGER if ledger["complete"] else INCOMPLETE_LEDGER
    return Usage(int(total["requests"]), int(total["characters"]), Decimal(total["audio_seconds"]), basis)
