"""Why pods of a model do not start, told to everybody who may use it: nothing else than the model is named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.operator_builders import NOON, observe, pod, stamp
from tests.support.resources import Object
from tts_operator.objects.problem import Problem
from tts_operator.snapshot.start_failures import start_failures

SENTENCE = "the engine does not start: /srv/ttsfleet/model/a.onnx is not an ONNX graph, or only a part of one."


def ended(code: int, message: str = SENTENCE, **fields: str) -> Object:
    return {
        "exitCode": code,
        "reason": "Error",
        "message": message,
        "startedAt": stamp(NOON - timedelta(seconds=9)),
        "finishedAt": stamp(NOON),
        **fields,
    }


def told(container: Object, *, init: bool = False) -> dict[str, Problem]:
    status = {"ready": False, "restartCount": 1, **container}
    statuses: dict[str, Any] = {"initContainerStatuses" if init else "containerStatuses": [status]}
    return start_failures(observe(pods=[pod(phase="Pending", **statuses)]))


STATES: dict[str, Object] = {
    "waiting": {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended(3)}},
    "ended": {"state": {"terminated": ended(3)}},
    "started again": {"state": {"running": {}}, "lastState": {"terminated": ended(3)}},
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_server_whose_engine_does_not_start_is_quoted_until_it_is_ready(state: Object) -> None:
    assert told({"name": "tts-server", **state}) == {"espeak": Problem("EngineNotStarted", SENTENCE)}
    assert told({"name": "tts-server", **state, "ready": True}) == {}


def test_what_a_server_says_of_anything_but_its_model_is_no_business_of_other_teams() -> None:
    """Its configuration, its storage and its port are the tenant's."""
    private = ended(1, "the configuration cannot be used: s3 of team-a")
    assert told({"name": "tts-server", "state": {"terminated": private}}) == {}


CAUSES: dict[str, tuple[Object, bool, Problem]] = {
    "a download": (
        {"name": "fetch-model", "state": {"terminated": ended(1, "a.onnx does not exist at https://s3/b?sig=1")}},
        True,
        Problem("ModelNotFetched", "a.onnx does not exist at https://s3/..."),
    ),
    "a download of an adapter": (
        {"name": "fetch-adapter-calm", "state": {"terminated": ended(1, "calm.npz does not exist")}},
        True,
        Problem("ModelNotFetched", "calm.npz does not exist"),
    ),
    "an image": (
        {"name": "tts-server", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}},
        False,
        Problem("ImagePullBackOff", "no such image"),
    ),
    "a sidecar": (
        {"name": "speech-server", "state": {"terminated": ended(2, "")}},
        True,
        Problem("SidecarNotStarted", "the sidecar ended with exit code 2"),
    ),
    "too little memory": (
        {"name": "tts-server", "state": {"terminated": ended(137, "", reason="OOMKilled")}},
        False,
        Problem(
            "OOMKilled",
            "a container used more memory than its limit; raise the memory limit of the TTSModel's precision",
        ),
    ),
}


@pytest.mark.parametrize(("container", "init", "expected"), CAUSES.values(), ids=CAUSES)
def test_each_cause_that_is_the_models(container: Object, init: bool, expected: Problem) -> None:
    (found,) = told(container, init=init).values()
    assert found == expected
    assert not {"acme", "team-acme"} & set(found.message.split())


def test_a_pod_without_a_node_is_not_the_models_fault() -> None:
    waiting = pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}])
    assert start_failures(observe(pods=[waiting])) == {}


def test_a_pod_that_is_being_deleted_does_not_count() -> None:
    going = pod(containerStatuses=[{"name": "tts-server", "ready": False, "state": {"terminated": ended(3)}}])
    going["metadata"]["deletionTimestamp"] = stamp(NOON)
    assert start_failures(observe(pods=[going])) == {}
