"""Condition Exposed: whether the gateway or the ingress controller has taken over the tenant's route."""

from collections.abc import Iterator, Mapping
from typing import Any

from tts_operator.objects.kinds import HTTP_ROUTE, INGRESS
from tts_operator.objects.manifest import Body
from tts_operator.objects.problem import Problem
from tts_operator.resolve.exposure import Exposure, GatewayParent
from tts_operator.resolve.resolved import Resolved
from tts_operator.snapshot import lookup

JUDGED = ("Accepted", "ResolvedRefs")
"""Conditions of an HTTPRoute at its Gateway that must be True, in the order in which a Gateway decides them."""


def exposure_problem(resolved: Resolved) -> Problem | None:
    """Why callers outside the cluster do not reach the tenant by its spec; None if they do, or need not."""
    exposure = resolved.exposure
    if exposure is None:
        return None
    if exposure.problem is not None:
        return exposure.problem
    if isinstance(exposure.parent, GatewayParent):
        return gateway_problem(resolved, exposure.parent)
    return ingress_problem(resolved, exposure)


def gateway_problem(resolved: Resolved, gateway: GatewayParent) -> Problem | None:
    """The problem that the Gateway's controller reports on the HTTPRoute, for its present generation."""
    live = lookup.child(resolved.observed, HTTP_ROUTE, resolved.key.name)
    conditions = {} if live is None else {each["type"]: each for each in conditions_at(live, gateway)}
    for type_ in JUDGED:
        condition = conditions.get(type_)
        if condition is None or condition.get("status") == "Unknown":
            return Problem(
                "WaitingForGateway",
                f"{gateway} has not taken over the HTTPRoute {resolved.key.name} yet: if this lasts, see whether the"
                " Gateway exists and its controller runs",
            )
        if condition.get("status") != "True":
            said = str(condition.get("message") or "no message")
            return Problem(str(condition.get("reason") or "Rejected"), f"{gateway}: {said}")
    return None


def conditions_at(route: Body, gateway: GatewayParent) -> Iterator[Mapping[str, Any]]:
    """Conditions of an HTTPRoute at one Gateway. Those of an earlier generation say nothing about this one."""
    generation = route["metadata"].get("generation", 0)
    for parent in (route.get("status") or {}).get("parents") or ():
        reference = parent.get("parentRef") or {}
        namespace = reference.get("namespace") or route["metadata"].get("namespace")
        if (namespace, reference.get("name")) != (gateway.namespace, gateway.name):
            continue
        for condition in parent.get("conditions") or ():
            if condition.get("observedGeneration", generation) >= generation:
                yield condition


def ingress_problem(resolved: Resolved, exposure: Exposure) -> Problem | None:
    """An Ingress has no address until a controller has taken it over. Controllers report nothing else there."""
    live = lookup.child(resolved.observed, INGRESS, resolved.key.name)
    balancer = ((live or {}).get("status") or {}).get("loadBalancer") or {}
    if balancer.get("ingress"):
        return None
    return Problem(
        "WaitingForIngressController",
        f"no controller of {exposure.parent} has given the Ingress {resolved.key.name} an address yet: if this lasts,"
        " see whether the controller runs and publishes its address in the status of Ingresses",
    )
