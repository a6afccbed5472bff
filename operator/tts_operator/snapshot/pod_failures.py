"""Why pods do not run, in words that reach the tenant: nobody should need `kubectl describe pod`."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import NamedTuple

from tts_operator.objects import fields
from tts_operator.objects.fields import EXCEEDED_QUOTA
from tts_operator.objects.manifest import Body

ORDINARY = frozenset({"ContainerCreating", "PodInitializing"})
"""What a container waits for when all is well."""
LONG_LIFE = timedelta(minutes=10)
"""A container that lived so long begins anew: the kubelet forgets its crashes, too."""
ADVICE = {
    "ImagePullBackOff": "check image and imagePullSecrets of the TTSModel",
    "ErrImagePull": "check image and imagePullSecrets of the TTSModel",
    "InvalidImageName": "correct the image of the TTSModel",
    "ContainerEnded": "read the pod's log with `kubectl logs --previous`",
    "CrashLoopBackOff": "read the pod's log with `kubectl logs --previous`",
    "OOMKilled": "raise the memory limit of the TTSModel's precision",
    "Unschedulable": "free capacity, or lower the resource requests",
    "QuotaExceeded": "raise the namespace's ResourceQuota, or lower the number of replicas",
    "AdmissionDenied": "ask the owner of the admission policy",
}


class PodFailure(NamedTuple):
    """What keeps a pod from running."""

    reason: str
    """Kubernetes's own word, or QuotaExceeded and AdmissionDenied for pods that were never made."""
    message: str


def pod_failures(deployment: Body | None, pods: Iterable[Body]) -> list[PodFailure]:
    """Each distinct failure of one pool, the pods' own before what kept pods from being made."""
    found = [*(failure for pod in pods for failure in of_pod(pod)), *of_deployment(deployment)]
    return list(dict.fromkeys(found))


def of_pod(pod: Body) -> Iterator[PodFailure]:
    """What one pod suffers from."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    scheduled = fields.condition(pod, "PodScheduled")
    if scheduled and scheduled.get("reason") == "Unschedulable":
        yield pod_failure("Unschedulable", f"pod {name}", str(scheduled.get("message", "")))
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state, last = container.get("state") or {}, (container.get("lastState") or {}).get("terminated") or {}
        waiting, ended = state.get("waiting"), state.get("terminated")
        loops = looping(container)
        if waiting and waiting.get("reason") not in ORDINARY:
            yield of_waiting(name, waiting, last)
        elif ended and (ended.get("exitCode") or loops):
            yield of_ended(name, ended, loops=loops)
        elif "running" in state and not container.get("ready") and (loops or last.get("reason") == "OOMKilled"):
            yield of_ended(name, last, loops=loops)


def looping(container: Body) -> bool:
    """Whether the container goes on ending soon after its start, also while it happens to run or has just ended.

    Otherwise each turn of the loop would be news three times over. The kubelet waits before the second restart.
    """
    ended = (container.get("state") or {}).get("terminated") or (container.get("lastState") or {}).get("terminated")
    began, over = (fields.instant((ended or {}).get(name)) for name in ("startedAt", "finishedAt"))
    return container.get("restartCount", 0) >= 2 and began is not None and over is not None and over - began < LONG_LIFE


def of_waiting(pod: str, waiting: Body, last: Body) -> PodFailure:
    """A crash loop is told by what ended the container: the kernel says more than the loop."""
    reason = str(waiting.get("reason") or "Waiting")
    if reason == "CrashLoopBackOff":
        return of_ended(pod, last, loops=True)
    return pod_failure(reason, f"pod {pod}", str(waiting.get("message") or ""))


def of_ended(pod: str, ended: Body, *, loops: bool) -> PodFailure:
    """A container that was ended, and starts again."""
    if ended.get("reason") == "OOMKilled":
        return pod_failure("OOMKilled", f"pod {pod}", "the container used more memory than its limit")
    message = f"the container ended with exit code {ended.get('exitCode', 'unknown')}"
    return pod_failure("CrashLoopBackOff" if loops else "ContainerEnded", f"pod {pod}", message)


def of_deployment(deployment: Body | None) -> Iterator[PodFailure]:
    """Pods that the API server would not make."""
    failure = fields.condition(deployment, "ReplicaFailure")
    if deployment and failure and failure.get("status") == "True":
        message = str(failure.get("message", ""))
        reason = "QuotaExceeded" if EXCEEDED_QUOTA in message else "AdmissionDenied"
        yield pod_failure(reason, f"deployment {deployment['metadata']['name']}", message)


def pod_failure(reason: str, what: str, message: str) -> PodFailure:
    """One line: who, why, and what to do where that is known."""
    parts = [f"{what}: {message}" if message else f"{what}: {reason}"]
    if reason in ADVICE:
        parts.append(ADVICE[reason])
    return PodFailure(reason, "; ".join(parts))
