"""Why a pod does not get the files of its model, in the words of whoever knows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.operator_builders import NOON, pod, stamp
from tests.support.resources import Object
from tts_operator.snapshot.model_volumes import MAX_LENGTH, last_words
from tts_operator.snapshot.pod_failures import failures_of_pod

SENTENCE = "heart.onnx does not exist: the object store at minio:9000 answers 404 NoSuchKey; correct spec.source.s3"


def told(body: Object) -> list[tuple[str, str]]:
    return [(each.reason, each.message) for each in failures_of_pod(body)]


def unschedulable(message: str) -> Object:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(conditions=[condition])


CLAIMS = {
    # what the scheduler of Kubernetes 1.36 says: the reason, a part of the advice
    '0/1 nodes are available: persistentvolumeclaim "voices" not found. not found': (
        "ClaimNotFound",
        "create the PersistentVolumeClaim in this namespace, or correct spec.source.persistentVolumeClaim",
    ),
    "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found": (
        "ClaimNotBound",
        "kubectl describe pvc",
    ),
    "0/1 nodes are available: 1 Insufficient cpu.": ("Unschedulable", "free capacity"),
}


@pytest.mark.parametrize("message", CLAIMS)
def test_a_pod_that_waits_for_its_claim(message: str) -> None:
    reason, advice = CLAIMS[message]
    ((found, text),) = told(unschedulable(message))
    assert found == reason
    assert text.startswith(f"pod acme-espeak-1: {message}")
    assert advice in text


def fetching(state: str, *, restarts: int = 0, message: str = SENTENCE, code: int = 1) -> Object:
    """A pod whose download failed, and is waiting, ended or running again."""
    ended = {
        "exitCode": code,
        "reason": "Error",
        "message": message,
        "startedAt": stamp(NOON - timedelta(seconds=9)),
        "finishedAt": stamp(NOON),
    }
    states: dict[str, Object] = {
        "waiting": {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}},
        "ended": {"state": {"terminated": ended}},
        "running": {"state": {"running": {}}, "lastState": {"terminated": ended}},
    }
    status = {"name": "fetch-model", "ready": False, "restartCount": restarts, **states[state]}
    server = {"name": "tts-server", "ready": False, "state": {"waiting": {"reason": "PodInitializing"}}}
    return pod(phase="Pending", initContainerStatuses=[status], containerStatuses=[server])


@pytest.mark.parametrize("restarts", [0, 1, 5])
@pytest.mark.parametrize("state", ["waiting", "ended", "running"])
def test_a_download_that_fails_is_told_in_its_own_words_however_far_its_next_attempt_is(
    state: str, restarts: int
) -> None:
    assert told(fetching(state, restarts=restarts)) == [
        ("ModelNotFetched", f"pod acme-espeak-1: {SENTENCE}; the pod tries again by itself")
    ]


def test_a_download_that_runs_or_has_succeeded_is_no_failure() -> None:
    assert told(fetching("ended", code=0)) == []
    assert told(fetching("running", code=0)) == []


def test_a_download_that_said_nothing() -> None:
    ((reason, message),) = told(fetching("ended", message=""))
    assert (reason, message.partition(";")[0]) == (
        "ModelNotFetched",
        "pod acme-espeak-1: the files of the model were not fetched",
    )


def test_a_server_that_does_not_start_says_why() -> None:
    sentence = "the engine does not start: /srv/ttsfleet/model/a.onnx is not an ONNX graph, or only a part of one."
    ended = {"exitCode": 1, "message": f"{sentence}\n", "startedAt": stamp(NOON), "finishedAt": stamp(NOON)}
    status = {"name": "tts-server", "ready": False, "restartCount": 3, "state": {"terminated": ended}}
    ((reason, message),) = told(pod(containerStatuses=[status]))
    assert reason == "CrashLoopBackOff"
    assert f"the container ended with exit code 1: {sentence}" in message


WORDS: dict[str, tuple[str, str]] = {
    "only the last line counts": ("Traceback ...\nthe cause\n", "the cause"),
    "a URL keeps its host": (
        "see https://s3.example/voices/a.onnx?X-Amz-Credential=a&X-Amz-Signature=deadbeef now",
        "see https://s3.example/... now",
    ),
    "also one without a path": ("http://minio:9000?X-Amz-Signature=deadbeef", "http://minio:9000/..."),
    "a host alone stays": ("https://s3.example does not answer", "https://s3.example does not answer"),
    "control characters vanish": ("a\x1b[31mb\tc", "a [31mb c"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("story", WORDS)
def test_what_a_container_says_is_made_fit_for_a_condition(story: str) -> None:
    said, expected = WORDS[story]
    assert last_words({"message": said}) == expected


def test_what_a_container_says_has_an_end() -> None:
    words = last_words({"message": "x" * 5000})
    assert len(words) == MAX_LENGTH
    assert words.endswith("…")


def unpulled(image: str, reason: str = "ImagePullBackOff") -> Object:
    waiting = {"reason": reason, "message": f'Back-off pulling image "{image}": not found'}
    body = pod(containerStatuses=[{"name": "tts-server", "ready": False, "state": {"waiting": waiting}}])
    volume: dict[str, Any] = {"name": "model", "image": {"reference": "registry.example/voices:1"}}
    body["spec"] = {"volumes": [{"name": "tmp", "emptyDir": {}}, volume]}
    return body


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_an_image_with_files_that_cannot_be_pulled_is_told_apart_from_the_servers(reason: str) -> None:
    ((found, message),) = told(unpulled("registry.example/voices:1", reason))
    assert found == reason
    assert message.startswith('pod acme-espeak-1: volume model: Back-off pulling image "registry.example/voices:1"')
    assert message.endswith("check spec.source.image of the TTSModel, and its imagePullSecrets")
    ((_, server),) = told(unpulled("registry.example/tts-server:1", reason))
    assert server.endswith("check image and imagePullSecrets of the TTSModel")
