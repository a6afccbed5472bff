"""Quantiles as PromQL's histogram_quantile has them."""

from __future__ import annotations

import math

import pytest

from tts_operator.fleet.histogram import quantile


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ({}, None),
        ({1.0: 0.0, math.inf: 0.0}, None),
        ({1.0: 100.0, math.inf: 100.0}, 0.95),
        ({1.0: 0.0, 2.0: 100.0, math.inf: 100.0}, 1.95),
        ({1.0: 10.0, math.inf: 100.0}, 1.0),
    ],
)
def test_a_quantile_is_that_of_prometheus(buckets: dict[float, float], expected: float | None) -> None:
    assert quantile(0.95, buckets) == expected
