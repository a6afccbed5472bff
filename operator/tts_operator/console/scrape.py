"""Rates and latencies of a tenant from the metrics of its pods, as two readings of them tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tts_operator.fleet.histogram import quantile

TOO_MANY = "429"
QUANTILE = 0.95


@dataclass(frozen=True)
class Reading:
    """Counters of a tenant, summed over its pods at one time."""

    requests: float = 0.0
    refused: float = 0.0
    """Requests answered with 429."""
    buckets: Mapping[float, float] = field(default_factory=dict)
    """Requests by the upper bound of their latency, cumulative."""
    left: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By limit, what is left of how much: the least of all pods."""


def reading(texts: Iterable[str]) -> Reading:
    """Sum of what entry pools serve at `/metrics`. Raises ValueError for a text that is not in Prometheus's format."""
    requests = refused = 0.0
    buckets: dict[float, float] = {}
    left: dict[str, tuple[float, float]] = {}
    for text in texts:
        remaining: dict[str, float] = {}
        limits: dict[str, float] = {}
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        if any(sample.name == "tts_entry_pool" and not sample.value for sample in samples):
            continue  # other pools of the tenant send it segments of requests that are counted at the entry
        for sample in samples:
            match sample.name:
                case "tts_requests_total":
                    requests += sample.value
                    refused += sample.value if sample.labels.get("status_code") == TOO_MANY else 0.0
                case "tts_request_latency_seconds_bucket":
                    bound = float(sample.labels["le"])
                    buckets[bound] = buckets.get(bound, 0.0) + sample.value
                case "tts_quota_remaining":
                    remaining[sample.labels.get("quota", "")] = sample.value
                case "tts_quota_limit":
                    limits[sample.labels.get("quota", "")] = sample.value
        for name, limit in limits.items():
            if name in remaining:
                left[name] = min(left.get(name, (limit, limit)), (remaining[name], limit))
    return Reading(requests, refused, buckets, left)


def figures(before: Reading | None, after: Reading, seconds: float) -> dict[str, Any]:
    """Figures that the page shows, since an earlier reading; without one or after a restart, since the pods started."""
    since = before
    if before is None or after.requests < before.requests or seconds <= 0:
        since = None
    earlier = since or Reading()
    buckets = {bound: count - earlier.buckets.get(bound, 0.0) for bound, count in after.buckets.items()}
    p95 = quantile(QUANTILE, buckets)
    if p95 is None and since is not None:  # nobody spoke in between: the last that is known
        p95, since = quantile(QUANTILE, after.buckets), None
        earlier = Reading()
    scarce = min(after.left.items(), key=lambda each: each[1][0] / each[1][1] if each[1][1] else 1.0, default=None)
    return {
        "requests": after.requests - earlier.requests,
        "refused": after.refused - earlier.refused,
        "p95": p95,
        "seconds": seconds if since is not None else None,
        "left": {"quota": scarce[0], "left": scarce[1][0], "limit": scarce[1][1]} if scarce else None,
    }
