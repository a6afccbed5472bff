"""Figures from the text that pods serve at /metrics."""

from __future__ import annotations

import pytest

from tts_operator.console.scrape import figures, reading


def metrics(entry: int = 1, *, ok: int = 90, refused: int = 10, slow: int = 0, left: float = 40) -> str:
    fast = ok - slow
    return f"""# TYPE tts_entry_pool gauge
tts_entry_pool {entry}
# TYPE tts_requests_total counter
tts_requests_total{{tenant="t",model="m",voice="v",status_code="200"}} {ok}
tts_requests_total{{tenant="t",model="m",voice="v",status_code="429"}} {refused}
# TYPE tts_request_latency_seconds histogram
tts_request_latency_seconds_bucket{{tenant="t",model="m",le="0.5"}} 0
tts_request_latency_seconds_bucket{{tenant="t",model="m",le="1.0"}} {fast}
tts_request_latency_seconds_bucket{{tenant="t",model="m",le="2.0"}} {ok}
tts_request_latency_seconds_bucket{{tenant="t",model="m",le="+Inf"}} {ok}
# TYPE tts_quota_remaining gauge
tts_quota_remaining{{tenant="t",quota="requestsPerMinute"}} {left}
tts_quota_remaining{{tenant="t",quota="charactersPerDay"}} 900
# TYPE tts_quota_limit gauge
tts_quota_limit{{tenant="t",quota="requestsPerMinute"}} 100
tts_quota_limit{{tenant="t",quota="charactersPerDay"}} 1000
"""


def test_pods_are_summed_and_the_scarcest_limit_is_told() -> None:
    shown = figures(None, reading([metrics(left=40), metrics(left=30)]), 0)
    assert (shown["requests"], shown["refused"], shown["seconds"]) == (200, 20, None)
    assert shown["left"] == {"quota": "requestsPerMinute", "left": 30, "limit": 100}
    assert shown["p95"] == pytest.approx(0.5 + 0.5 * 0.95)


def test_pools_behind_the_entry_are_not_counted_twice() -> None:
    assert figures(None, reading([metrics(), metrics(entry=0)]), 0)["requests"] == 100


def test_figures_are_those_since_the_earlier_reading() -> None:
    before, after = reading([metrics()]), reading([metrics(ok=190, refused=15, slow=100)])
    shown = figures(before, after, 60)
    assert (shown["requests"], shown["refused"], shown["seconds"]) == (105, 5, 60)
    assert shown["p95"] == pytest.approx(1.95), "only slow requests came since then"


def test_a_pod_that_started_anew_is_read_from_its_start() -> None:
    shown = figures(reading([metrics(ok=50, refused=500)]), reading([metrics()]), 60)
    assert (shown["requests"], shown["seconds"]) == (100, None)


def test_while_nobody_speaks_the_last_latency_stays() -> None:
    same = reading([metrics()])
    shown = figures(same, same, 60)
    assert shown["p95"] is not None
    assert shown["seconds"] is None


def test_what_is_no_metrics_is_an_error() -> None:
    with pytest.raises(ValueError, match="html"):
        reading(["<html>a page</html>"])
