"""A tenant whose schedule has no replicas: its children, its plan, its EndpointSlice and its status."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.operator_builders import answering, child, desired, observe, planned, resolved, settle
from tests.support.resources import Object
from tts_operator.objects.fields import condition
from tts_operator.plan.outcome import Outcome
from tts_operator.snapshot.observed import Observed
from tts_operator.snapshot.waker import Waker, ready_addresses
from tts_operator.status.tenant import status

NIGHT = {"name": "night", "start": "00:00", "end": "06:00", "minReplicas": 0}
SCHEDULE = {"timeZone": "UTC", "default": {"minReplicas": 3}, "windows": [NIGHT]}
AT_TWO = datetime(2026, 11, 5, 2, 0, tzinfo=UTC)
AT_SIX = datetime(2026, 11, 5, 6, 0, tzinfo=UTC)
WAKER = Waker(20_017, ("10.0.0.7", "10.0.0.8", "fd00::7"))


def reading(*models: str, children: list[Object] | None = None, waker: Waker | None = WAKER, **fields: Any) -> Observed:
    spec = {"schedule": {**SCHEDULE, **fields.pop("schedule", {})}, **fields}
    return replace(observe(*models or ("espeak",), children=copy.deepcopy(children or []), **spec), waker=waker)


def by_day(*models: str, **fields: Any) -> list[Object]:
    return settle(reading(*models, **fields))


def slices(observed: Observed, now: datetime = AT_TWO) -> dict[str, Any]:
    return {each.ref.name: each.body for each in desired(observed, now).manifests if each.ref.kind == "EndpointSlice"}


def woken(at: datetime = AT_TWO) -> dict[str, Any]:
    return {"wake": {"requestedAt": at.isoformat()}}


def test_at_zero_the_service_leads_to_the_waker_before_the_pods_stop() -> None:
    observed = reading(children=by_day())
    actions = planned(observed, AT_TWO)
    scale = next(line for line in actions if line.startswith("scale"))
    assert scale == "scale deploy/acme-espeak to 0: the schedule has no replicas now"
    assert actions.index("apply endpointslice/acme--waker: missing") < actions.index(scale)


def test_the_slice_names_the_tenant_s_service_and_its_port_of_the_waker() -> None:
    found = slices(reading(children=by_day()))
    assert found["acme--waker"]["metadata"]["labels"] == {
        "app.kubernetes.io/name": "tts-server",
        "app.kubernetes.io/managed-by": "tts-operator",
        "ttsfleet.io/tenant": "acme",
        "kubernetes.io/service-name": "acme",
        "endpointslice.kubernetes.io/managed-by": "tts-operator",
    }
    assert found["acme--waker"]["addressType"] == "IPv4"
    assert [each["addresses"] for each in found["acme--waker"]["endpoints"]] == [["10.0.0.7"], ["10.0.0.8"]]
    assert found["acme--waker"]["ports"] == [{"name": "http", "port": 20_017, "protocol": "TCP"}]
    assert [each["addresses"] for each in found["acme--waker-ipv6"]["endpoints"]] == [["fd00::7"]]


def test_zero_is_converged_once_it_is_written_and_counts_for_every_pool() -> None:
    children = settle(reading("espeak", "other", children=by_day("espeak", "other")), AT_TWO)
    at_zero = reading("espeak", "other", children=children)
    assert planned(at_zero, AT_TWO) == []
    told = status(resolved(at_zero, AT_TWO), at_zero, Outcome())
    assert [(each["min"], each["max"]) for each in told["pools"]] == [(0, 0), (0, 0)]
    assert {each["spec"]["replicas"] for each in children if each["kind"] == "Deployment"} == {0}
    autoscalers = [each for each in children if each["kind"] == "HorizontalPodAutoscaler"]
    assert [each["spec"]["minReplicas"] for each in autoscalers] == [1, 1], "they stay, and an HPA takes no zero"


def test_the_slice_stays_until_a_pod_is_available() -> None:
    children = settle(reading(children=by_day()), AT_TWO)
    children = settle(reading(children=children), AT_SIX)
    deployment = child(children, "Deployment", "acme-espeak")
    assert deployment["spec"]["replicas"] == 3
    answering(deployment, 0)
    assert set(slices(reading(children=children), AT_SIX)) == {"acme--waker", "acme--waker-ipv6"}
    answering(deployment, 1)
    assert "delete endpointslice/acme--waker: no longer wanted" in planned(reading(children=children), AT_SIX)
    assert slices(reading(children=by_day()), AT_SIX) == {}, "pods that fail by day are no matter of the waker"


def test_a_request_wakes_one_replica_and_then_the_zero_applies_again() -> None:
    asleep = settle(reading(children=by_day()), AT_TWO)
    schedule = {"wakeOnRequest": True, "wakeSeconds": 600}
    observed = reading(children=asleep, schedule=schedule, before=woken())
    assert "scale deploy/acme-espeak to 1: woken: nothing asks for zero" in planned(observed, AT_TWO)
    told = status(resolved(observed, AT_TWO), observed, Outcome())
    assert told["activeWindow"] == "wake"
    assert told["nextTransition"] == {
        "time": "2026-11-05T02:10:00Z",
        "window": "night",
        "minReplicas": 0,
        "maxReplicas": 0,
    }
    assert resolved(observed, AT_TWO).requeue_at == AT_TWO + timedelta(minutes=10)
    assert told["waker"]["atZero"] is False
    later = AT_TWO + timedelta(minutes=10)
    awake = settle(observed, AT_TWO)
    ended = reading(children=awake, schedule=schedule, before=woken())
    assert "scale deploy/acme-espeak to 0: the schedule has no replicas now" in planned(ended, later)


def test_a_request_wakes_nobody_without_permission() -> None:
    asleep = settle(reading(children=by_day()), AT_TWO)
    assert planned(reading(children=asleep, before=woken()), AT_TWO) == []


def test_a_suspended_tenant_answers_nobody() -> None:
    assert slices(reading(children=by_day(), suspend=True)) == {}


def test_without_a_waker_zero_is_the_same_without_an_endpoint() -> None:
    observed = reading(children=by_day(), waker=None)
    assert slices(observed) == {}
    assert "scale deploy/acme-espeak to 0: the schedule has no replicas now" in planned(observed, AT_TWO)
    told = status(resolved(observed, AT_TWO), observed, Outcome())
    assert "waker" not in told
    assert "requests find no endpoint" in str(condition({"status": told}, "Available"))


def test_a_tenant_that_is_born_at_zero_has_no_deployment_until_it_wakes() -> None:
    kinds = {each.ref.kind for each in desired(reading(), AT_TWO).manifests}
    assert "EndpointSlice" in kinds
    assert "Deployment" not in kinds
    told = status(resolved(reading(), AT_TWO), reading(), Outcome())
    assert (condition({"status": told}, "Ready") or {})["status"] == "True"


def test_the_status_says_by_which_window_it_sleeps_and_until_when() -> None:
    asleep = reading(children=settle(reading(children=by_day()), AT_TWO))
    told = status(resolved(asleep, AT_TWO), asleep, Outcome())
    available = condition({"status": told}, "Available") or {}
    assert (available["status"], available["reason"]) == ("False", "ScaledToZero")
    assert available["message"] == (
        "the endpoint has no replicas by window night of spec.schedule until 2026-11-05T06:00:00Z; requests are"
        " answered with status 503; spec.schedule.wakeOnRequest: true lets a request start one"
    )
    ready = condition({"status": told}, "Ready") or {}
    assert (ready["status"], ready["reason"]) == ("True", "ScaledToZero")
    assert (condition({"status": told}, "Progressing") or {})["reason"] == "Complete"
    assert told["waker"] == {
        "port": 20_017,
        "atZero": True,
        "timeZone": "UTC",
        "wakeOnRequest": False,
        "maxWaitSeconds": 60,
        "wakesAt": "2026-11-05T06:00:00Z",
    }
    assert told["pools"][0] | {"min": 0, "max": 0, "desired": 0} == told["pools"][0]


def test_the_status_leaves_the_waker_s_requests_to_the_waker() -> None:
    asleep = reading(children=settle(reading(children=by_day()), AT_TWO), before=woken())
    assert "wake" not in status(resolved(asleep, AT_TWO), asleep, Outcome())


def test_addresses_are_those_of_ready_pods() -> None:
    found = ready_addresses(
        [
            {
                "endpoints": [
                    {"addresses": ["10.0.0.8"], "conditions": {"ready": True}},
                    {"addresses": ["10.0.0.9"], "conditions": {"ready": False, "serving": True}},
                ]
            },
            {"endpoints": [{"addresses": ["10.0.0.7"]}]},
            {"endpoints": None},
        ]
    )
    assert found == ("10.0.0.7", "10.0.0.8")
