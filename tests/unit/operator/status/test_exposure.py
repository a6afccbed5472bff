"""Condition Exposed, and the URL that callers outside use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator_builders import EXPOSED, NOON, exposed_by, observe
from tests.support.resources import Object
from tts_operator.objects.kinds import HTTP_ROUTE, INGRESS, Kind
from tts_operator.objects.problem import Problem
from tts_operator.plan.outcome import Outcome
from tts_operator.resolve.hostname_table import HostnameTable, taken
from tts_operator.resolve.resolve import resolve
from tts_operator.snapshot.observed import Observed
from tts_operator.status.conditions import condition_of
from tts_operator.status.tenant import status

GATEWAY = {"gateway": {"name": "public", "namespace": "gateways"}}
REF = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateways"}
URL = "https://acme.team-acme.speech.example"


def child(kind: Kind, reported: Object | None = None) -> Object:
    """The live route, of generation 2, with what its controller reports."""
    owner = {"apiVersion": "ttsfleet.io/v1alpha1", "kind": "TTSTenant", "name": "acme", "controller": True}
    metadata = {
        "name": "acme",
        "namespace": "team-acme",
        "generation": 2,
        "ownerReferences": [{**owner, "uid": observe().uid}],
    }
    body: Object = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": {}}
    return body if reported is None else {**body, "status": reported}


def parents(*conditions: tuple[str, str, str], ref: Object = REF, generation: int = 2) -> Object:
    """The status of an HTTPRoute at one Gateway."""
    listed = [
        {"type": type_, "status": value, "reason": reason, "message": "said so", "observedGeneration": generation}
        for type_, value, reason in conditions
    ]
    return {"parents": [{"parentRef": ref, "controllerName": "example.com/gateway", "conditions": listed}]}


GOOD = (("Accepted", "True", "Accepted"), ("ResolvedRefs", "True", "ResolvedRefs"))
AT_GATEWAYS: dict[str, tuple[Object | None, str, str]] = {
    # the story: (status of the HTTPRoute, status and reason of the condition)
    "both hold": (parents(*GOOD), "True", "AsSpecified"),
    "nobody has seen it": (None, "False", "WaitingForGateway"),
    "accepted, not yet resolved": (parents(GOOD[0]), "False", "WaitingForGateway"),
    "not known yet": (parents(GOOD[0], ("ResolvedRefs", "Unknown", "Pending")), "False", "WaitingForGateway"),
    "a report on an earlier generation": (parents(*GOOD, generation=1), "False", "WaitingForGateway"),
    "a report of another gateway": (parents(*GOOD, ref={**REF, "name": "other"}), "False", "WaitingForGateway"),
    "a gateway of the same name elsewhere": (
        parents(*GOOD, ref={"name": "public"}),
        "False",
        "WaitingForGateway",
    ),
    "no listener has the host name": (
        parents(("Accepted", "False", "NoMatchingListenerHostname"), GOOD[1]),
        "False",
        "NoMatchingListenerHostname",
    ),
    "the service is not found": (
        parents(GOOD[0], ("ResolvedRefs", "False", "BackendNotFound")),
        "False",
        "BackendNotFound",
    ),
}


def reported(observed: Observed) -> dict[str, Any]:
    found = HostnameTable().admit(resolve(exposed_by(observed), EXPOSED, NOON))
    return status(found, observed, Outcome())


def exposed(found: Mapping[str, Any]) -> tuple[str, str]:
    condition = condition_of(found, "Exposed")
    return condition["status"], condition["reason"]


@pytest.mark.parametrize(("report", "value", "reason"), AT_GATEWAYS.values(), ids=AT_GATEWAYS)
def test_what_a_gateway_reports(report: Object | None, value: str, reason: str) -> None:
    found = reported(observe(exposure=GATEWAY, children=[child(HTTP_ROUTE, report)]))
    assert exposed(found) == (value, reason)
    assert (found["publicURL"], found["hostname"]) == (URL, "acme.team-acme.speech.example")
    if reason == "BackendNotFound":
        assert condition_of(found, "Exposed")["message"] == "Gateway gateways/public: said so"


def test_an_ingress_counts_once_a_controller_has_given_it_an_address() -> None:
    waiting = reported(observe(exposure={"ingress": {}}, children=[child(INGRESS)]))
    assert exposed(waiting) == ("False", "WaitingForIngressController")
    taken_over = {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}
    found = reported(observe(exposure={"ingress": {}}, children=[child(INGRESS, taken_over)]))
    assert exposed(found) == ("True", "AsSpecified")
    assert URL in condition_of(found, "Exposed")["message"]


def test_what_the_platform_does_not_allow_is_said_and_leaves_the_tenant_accepted() -> None:
    found = reported(observe(exposure={"gateway": {"name": "other"}}))
    assert exposed(found) == ("False", "GatewayNotAllowed")
    assert condition_of(found, "Accepted")["status"] == "True"
    assert "publicURL" not in found
    assert "hostname" not in found


def test_a_host_name_of_another_tenant_is_said_without_its_name() -> None:
    resolved = resolve(exposed_by(observe(exposure=GATEWAY)), EXPOSED, NOON)
    assert resolved.exposure is not None
    found = status(replace(resolved, exposure=taken(resolved.exposure, "")), resolved.observed, Outcome())
    assert exposed(found) == ("False", "HostnameTaken")
    assert "hostname" not in found


def test_a_tenant_that_asks_for_no_way_in_has_no_such_condition() -> None:
    found = reported(observe())
    assert condition_of(found, "Exposed") == {}
    assert "publicURL" not in found


def test_a_tenant_that_is_not_exposed_is_ready_all_the_same() -> None:
    with_problem = reported(observe(exposure={"gateway": {"name": "other"}}))
    without = reported(observe())
    assert condition_of(with_problem, "Ready")["reason"] == condition_of(without, "Ready")["reason"]


def test_without_a_spec_that_is_followed_nothing_is_said() -> None:
    resolved = resolve(exposed_by(observe(exposure=GATEWAY)), EXPOSED, NOON)
    refused = replace(resolved, pools=(), refused=Problem("Invalid", "no"))
    assert condition_of(status(refused, resolved.observed, Outcome()), "Exposed") == {}
