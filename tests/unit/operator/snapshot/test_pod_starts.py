"""How long pods took to start."""

from __future__ import annotations

import pytest

from tests.support.operator_builders import NOON, observe, pod, started, unschedulable
from tests.support.resources import Object
from tts_operator.snapshot.pod_starts import PodStart, load_seconds, pod_starts

NOT_COUNTED: dict[str, Object] = {
    "a pod without a node": unschedulable(),
    "a pod that is not ready yet": {"conditions": started(40)["conditions"][:1]},
    "a pod whose container failed before": started(40, restarts=1),
    "a pod that was ready before, an hour ago": started(3601),
    "a pod whose clock went back": started(-5),
}


def test_a_start_is_the_time_from_a_node_to_the_first_readiness() -> None:
    pods = [pod(name="a", **started(40)), pod("piper", name="b", **started(7))]
    assert list(pod_starts(observe(pods=pods))) == [
        PodStart("uid-of-a", "espeak", NOON, 40),
        PodStart("uid-of-b", "piper", NOON, 7),
    ]


@pytest.mark.parametrize("status", NOT_COUNTED.values(), ids=NOT_COUNTED)
def test_what_says_nothing_of_the_model_is_not_counted(status: Object) -> None:
    assert list(pod_starts(observe(pods=[pod(**status)]))) == []


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ([], None),
        ([0], 0),
        ([1], 5),
        ([61], 75),
        ([301], 360),
        ([3600], 3600),
        ([10, 20, 30], 30),
        ([*range(1, 20), 500], 20),
        ([*range(1, 40), 500], 40),
    ],
)
def test_the_load_time_is_the_p95_rounded_up(starts: list[int], expected: int | None) -> None:
    assert load_seconds(starts) == expected
