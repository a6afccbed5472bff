"""Activity between two readings of pods' metrics."""

from __future__ import annotations

import pytest

from tts_operator.fleet.pod_metrics import PodName, Reading, activities, parse, running_pods
from tts_operator.objects.keys import Key

ACME = Key("team-acme", "acme")
POD = PodName(ACME, "acme-1", "u1")


def metrics(requests: int, slow: int, refusals: int = 0, left: int = 60, entry: int = 1) -> str:
    """Metrics of a pod as Prometheus reads them: `slow` of the requests took between 1 and 2 seconds."""
    return f"""# HELP tts_requests_total Speech requests answered.
# TYPE tts_requests_total counter
tts_requests_total{{model="espeak",status_code="200",tenant="acme",voice="a \\"b\\""}} {requests}.0
tts_request_latency_seconds_bucket{{le="1.0",model="espeak",tenant="acme"}} {requests - slow}.0
tts_request_latency_seconds_bucket{{le="2.0",model="espeak",tenant="acme"}} {requests}.0
tts_request_latency_seconds_bucket{{le="+Inf",model="espeak",tenant="acme"}} {requests}.0
tts_quota_refusals_total{{quota="requestsPerMinute",tenant="acme"}} {refusals}.0
tts_quota_remaining{{quota="requestsPerMinute",tenant="acme"}} {left}.0
tts_quota_limit{{quota="requestsPerMinute",tenant="acme"}} 100.0
tts_quota_remaining{{quota="charactersPerDay",tenant="acme"}} 900.0
tts_quota_limit{{quota="charactersPerDay",tenant="acme"}} 1000.0
tts_inflight_requests{{tenant="acme"}} 2.0
tts_queue_depth{{model="espeak",tenant="acme"}} 3.0
tts_entry_pool {entry}.0
tts_unheard_of{{a="b"}} 7
"""


def reading(at: float, **pods: str) -> Reading:
    return Reading(at, {POD._replace(uid=uid): parse(text) for uid, text in pods.items()})


def test_rates_and_the_p95_are_those_of_the_time_between() -> None:
    found = activities(reading(10, u1=metrics(100, 0)), reading(20, u1=metrics(200, 50, refusals=5)))[ACME]
    assert found.requests_per_second == 10
    assert found.refusals_per_second == 0.5
    assert found.p95_seconds == pytest.approx(1.9)  # 50 of 100 took 1 to 2 s
    assert (found.in_flight, found.queued) == (2, 3)
    assert found.quota == ("requestsPerMinute", 0.6)


def test_a_pod_that_is_new_or_began_anew_counts_from_its_start() -> None:
    before = reading(0, u1=metrics(500, 0))
    after = reading(10, u1=metrics(20, 0), u2=metrics(30, 0, left=10))
    found = activities(before, after)[ACME]
    assert found.requests_per_second == 5
    assert found.quota == ("requestsPerMinute", 0.1)


def test_without_requests_there_is_no_p95() -> None:
    found = activities(reading(0, u1=metrics(5, 0)), reading(10, u1=metrics(5, 0)))[ACME]
    assert (found.requests_per_second, found.p95_seconds) == (0, None)


def test_parts_of_requests_in_other_pools_are_no_requests() -> None:
    found = activities(reading(0), reading(10, u1=metrics(5, 0), u2=metrics(50, 0, entry=0)))[ACME]
    assert found.requests_per_second == 0.5
    assert (found.in_flight, found.queued) == (2, 6)


def test_pods_are_those_of_tenants_that_run() -> None:
    def pod(name: str, phase: str = "Running", address: str = "10.0.0.1", **labels: str) -> dict[str, object]:
        metadata = {"namespace": "team-acme", "name": name, "uid": name, "labels": labels}
        return {"metadata": metadata, "status": {"phase": phase, "podIP": address}}

    label = {"ttsfleet.io/tenant": "acme"}
    found = [pod("a", **label), pod("b", "Pending", **label), pod("c", address="", **label), pod("d")]
    assert [each.name for each in running_pods(found)] == ["a"]
