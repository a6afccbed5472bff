"""A surge that finds no room ends in replacing, where there is something to replace."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.operator_builders import NOON, child, observe, pod, settle, unschedulable
from tests.support.resources import Object
from tts_operator.rollout.update_strategy import SURGE_TIMEOUT, UpdateStrategy, rollout

DENIED = {
    "type": "ReplicaFailure",
    "status": "True",
    "reason": "FailedCreate",
    "message": 'pods "acme-espeak-2" is forbidden: exceeded quota: compute',
}


def rolling(replicas: int = 3, *conditions: Object, replace: bool = False) -> list[Object]:
    """The children of a tenant in the middle of a rollout."""
    children = settle(observe(schedule={"default": {"minReplicas": replicas}}))
    deployment = child(children, "Deployment", "acme-espeak")
    deployment["status"] |= {"updatedReplicas": 0, "conditions": list(conditions)}
    if replace:
        deployment["spec"]["strategy"]["rollingUpdate"] = {"maxSurge": 0, "maxUnavailable": 1}
    return children


SINCE = NOON - SURGE_TIMEOUT
HOMELESS = pod(name="acme-espeak-9", **unschedulable(SINCE))
LATELY = pod(name="acme-espeak-9", **unschedulable(SINCE + timedelta(seconds=1)))
ROLLOUTS: dict[str, tuple[str, list[Object], list[Object], UpdateStrategy]] = {
    "nothing rolls": ("Auto", settle(observe()), [], UpdateStrategy("Surge")),
    "nothing exists": ("Auto", [], [], UpdateStrategy("Surge")),
    "it rolls": ("Auto", rolling(), [], UpdateStrategy("Surge")),
    "the surge looks for room": ("Auto", rolling(), [LATELY], UpdateStrategy("Surge", NOON + timedelta(seconds=1))),
    "it has looked long enough": ("Auto", rolling(), [HOMELESS], UpdateStrategy("Replace")),
    "the quota denies it at once": ("Auto", rolling(3, DENIED), [], UpdateStrategy("Replace")),
    "a rollout that replaces goes on so": ("Auto", rolling(replace=True), [], UpdateStrategy("Replace")),
    "one replica waits": ("Auto", rolling(1), [HOMELESS], UpdateStrategy("Surge", no_room=True, needs_cover=True)),
    "one replica, denied": ("Auto", rolling(1, DENIED), [], UpdateStrategy("Surge", no_room=True, needs_cover=True)),
    "asked to surge, it waits": ("Surge", rolling(), [HOMELESS], UpdateStrategy("Surge", no_room=True)),
    "asked to replace": ("Replace", rolling(), [], UpdateStrategy("Replace")),
}


@pytest.mark.parametrize(("asked", "children", "pods", "expected"), ROLLOUTS.values(), ids=ROLLOUTS)
def test_rollout(asked: Any, children: list[Object], pods: list[Object], expected: UpdateStrategy) -> None:
    assert rollout(observe(children=children, pods=pods), "acme-espeak", asked, NOON) == expected


def test_a_surge_pod_without_a_node_counts_as_updated() -> None:
    """As the Deployment controller reports it: one pod of each template, and one replica wanted."""
    children = settle(observe())
    child(children, "Deployment", "acme-espeak")["status"] |= {"replicas": 2, "updatedReplicas": 1}
    found = rollout(observe(children=children, pods=[HOMELESS]), "acme-espeak", "Auto", NOON)
    assert found == UpdateStrategy("Surge", no_room=True, needs_cover=True)


def test_a_pod_that_no_rollout_waits_for_changes_nothing() -> None:
    children = settle(observe(schedule={"default": {"minReplicas": 3}}))
    observed = observe(children=children, pods=[HOMELESS])
    assert rollout(observed, "acme-espeak", "Auto", NOON) == UpdateStrategy("Surge")
