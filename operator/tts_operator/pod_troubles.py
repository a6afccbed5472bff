"""Why pods do not run, in words that reach the tenant: nobody should need `kubectl describe pod`."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tts_operator.manifest import Body

ORDINARY = frozenset({"ContainerCreating", "PodInitializing"})
"""What a container waits for when all is well."""
ADVICE = {
    "ImagePullBackOff": "check the image's name and the imagePullSecrets of its TTSModel",
    "ErrImagePull": "check the image's name and the imagePullSecrets of its TTSModel",
    "InvalidImageName": "correct the image of its TTSModel",
    "CrashLoopBackOff": "read the pod's log",
    "OOMKilled": "raise the memory limit of the TTSModel's precision",
    "Unschedulable": "make room, or ask for less",
    "QuotaExceeded": "raise the namespace's ResourceQuota, or ask for fewer replicas",
    "AdmissionDenied": "ask who owns the policy",
}


class Trouble(NamedTuple):
    """What keeps a pod from running."""

    reason: str
    """Kubernetes's own word, or QuotaExceeded and AdmissionDenied for pods that were never made."""
    message: str


def troubles(deployment: Body | None, pods: Iterable[Body]) -> list[Trouble]:
    """Each distinct trouble of one pool, the pods' own before what kept pods from being made."""
    found = [*(trouble for pod in pods for trouble in of_pod(pod)), *of_deployment(deployment)]
    return list(dict.fromkeys(found))


def of_pod(pod: Body) -> Iterator[Trouble]:
    """What one pod suffers from; nothing on its way out does."""
    if "deletionTimestamp" in pod["metadata"]:
        return
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield trouble("Unschedulable", f"pod {name}", condition.get("message", ""))
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") not in ORDINARY:
            yield of_waiting(name, waiting, (container.get("lastState") or {}).get("terminated") or {})


def of_waiting(pod: str, waiting: Body, last: Body) -> Trouble:
    """A crash loop is told by what ended the container: the kernel says more than the loop."""
    reason = str(waiting.get("reason") or "Waiting")
    if reason == "CrashLoopBackOff" and last.get("reason") == "OOMKilled":
        return trouble("OOMKilled", f"pod {pod}", "the container used more memory than its limit")
    if reason == "CrashLoopBackOff":
        return trouble(reason, f"pod {pod}", f"the container ended with exit code {last.get('exitCode', 'unknown')}")
    return trouble(reason, f"pod {pod}", str(waiting.get("message") or ""))


def of_deployment(deployment: Body | None) -> Iterator[Trouble]:
    """Pods that the API server would not make."""
    name = deployment["metadata"]["name"] if deployment else ""
    for condition in conditions(deployment):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = str(condition.get("message", ""))
            reason = "QuotaExceeded" if "exceeded quota" in message else "AdmissionDenied"
            yield trouble(reason, f"deployment {name}", message)


def trouble(reason: str, what: str, message: str) -> Trouble:
    """One line: who, why, and what to do where that is known."""
    parts = [f"{what}: {message}" if message else f"{what}: {reason}"]
    if reason in ADVICE:
        parts.append(ADVICE[reason])
    return Trouble(reason, "; ".join(parts))


def conditions(body: Body | None) -> list[dict[str, Any]]:
    """An object's conditions; none where there is no object or no status."""
    return list(((body or {}).get("status") or {}).get("conditions") or ())
