"""Quantiles of histograms as Prometheus stores them."""

from __future__ import annotations

import math
from collections.abc import Mapping


def quantile(rank: float, buckets: Mapping[float, float]) -> float | None:
    """Value that this share of the observations does not exceed; None without an observation.

    `buckets`: observations by upper bound, cumulative. Within a bucket they count as evenly spread, and beyond the last
    finite bound the answer is that bound, as in histogram_quantile of PromQL.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    wanted, below, lower = rank * total, 0.0, 0.0
    for upper in bounds:
        count = buckets[upper]
        if count >= wanted:
            if math.isinf(upper):
                return lower
            return lower + (upper - lower) * ((wanted - below) / (count - below) if count > below else 0.0)
        below, lower = count, upper
    return lower
