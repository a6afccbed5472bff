"""Why pods do not run: reported in the tenant's conditions, so that nobody needs `kubectl describe pod`."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from tts_operator.objects import fields
from tts_operator.objects.manifest import Body
from tts_operator.objects.problem import Problem
from tts_operator.snapshot import memory_kills, model_volumes, refused_pods, unschedulable

ORDINARY = frozenset({"ContainerCreating", "PodInitializing"})
"""Waiting reasons of a healthy container."""
BACKOFF_RESET = timedelta(minutes=10)
"""Run time after which the kubelet resets a container's restart backoff: the crash loop is over."""
IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff"})
ADVICE = {
    "ImagePullBackOff": "check image and imagePullSecrets of the TTSModel",
    "ErrImagePull": "check image and imagePullSecrets of the TTSModel",
    "InvalidImageName": "correct the image of the TTSModel",
    "ContainerEnded": "read the pod's log with `kubectl logs --previous`",
    "CrashLoopBackOff": "read the pod's log with `kubectl logs --previous`",
    **unschedulable.ADVICE,
    **memory_kills.ADVICE,
    **model_volumes.ADVICE,
    **refused_pods.ADVICE,
}


def pod_failures(deployment: Body | None, pods: Iterable[Body]) -> list[Problem]:
    """Distinct failures of one pool: first those of its pods, then those of creating pods.

    A reason is Kubernetes's own, or one of `refused_pods` for pods that were not created.
    """
    failures = [*(failure for pod in pods for failure in failures_of_pod(pod)), *failures_of_deployment(deployment)]
    return list(dict.fromkeys(failures))


def failures_of_pod(pod: Body) -> Iterator[Problem]:
    """Failures of one pod."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    scheduled = fields.condition(pod, "PodScheduled")
    if scheduled and scheduled.get("reason") == "Unschedulable":
        message = str(scheduled.get("message", ""))
        yield pod_failure(unschedulable.unschedulable_reason(pod, message), f"pod {name}", message)
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state, last = container.get("state") or {}, (container.get("lastState") or {}).get("terminated") or {}
        waiting, ended = state.get("waiting"), state.get("terminated")
        loops = looping(container)
        if waiting and waiting.get("reason") not in ORDINARY:
            yield waiting_failure(pod, container, last)
        elif ended and (ended.get("exitCode") or loops):
            yield ended_failure(pod, container, ended, loops=loops)
        elif "running" in state and not container.get("ready") and (loops or told_while_running(container, last)):
            yield ended_failure(pod, container, last, loops=loops)


def told_while_running(container: Body, last: Body) -> bool:
    """Whether the first end of a container is reported although it runs again: the same end is likely to follow."""
    return memory_kills.killed_for_memory(last) or (model_volumes.fetches(container) and bool(last.get("exitCode")))


def looping(container: Body) -> bool:
    """Whether the container keeps ending soon after its start, even if it runs or has just ended now.

    Without this the condition would change three times per restart. The kubelet backs off from the second restart on.
    """
    ended = (container.get("state") or {}).get("terminated") or (container.get("lastState") or {}).get("terminated")
    started, finished = (fields.instant((ended or {}).get(name)) for name in ("startedAt", "finishedAt"))
    short_lived = started is not None and finished is not None and finished - started < BACKOFF_RESET
    return short_lived and container.get("restartCount", 0) >= 2


def waiting_failure(pod: Body, container: Body, last: Body) -> Problem:
    """Failure of a waiting container. A crash loop is reported by how the container ended, which is more specific."""
    waiting = container["state"]["waiting"]
    reason = str(waiting.get("reason") or "Waiting")
    if reason == "CrashLoopBackOff":
        return ended_failure(pod, container, last, loops=True)
    subject, message = f"pod {pod['metadata']['name']}", str(waiting.get("message") or "")
    if reason in IMAGE_REASONS and (volume := model_volumes.unpulled_volume(pod, message)):
        return Problem(reason, f"{subject}: {volume}")
    return pod_failure(reason, subject, message)


def ended_failure(pod: Body, container: Body, ended: Body, *, loops: bool) -> Problem:
    """Failure of a container that ended and is restarted."""
    subject = f"pod {pod['metadata']['name']}"
    if memory_kills.killed_for_memory(ended):
        problem = memory_kills.memory_problem(pod, str(container.get("name", "")), ended)
        return pod_failure(problem.reason, subject, problem.message)
    words = model_volumes.last_words(ended)
    if model_volumes.fetches(container):
        return pod_failure(model_volumes.NOT_FETCHED, subject, words or "the files of the model were not fetched")
    message = f"the container ended with exit code {ended.get('exitCode', 'unknown')}{f': {words}' if words else ''}"
    return pod_failure("CrashLoopBackOff" if loops else "ContainerEnded", subject, message)


def failures_of_deployment(deployment: Body | None) -> Iterator[Problem]:
    """Failures to create pods."""
    failure = fields.condition(deployment, "ReplicaFailure")
    if deployment and failure and failure.get("status") == "True":
        message = str(failure.get("message", ""))
        subject = f"deployment {deployment['metadata']['name']}"
        yield pod_failure(refused_pods.refusal_reason(message), subject, message)


def pod_failure(reason: str, subject: str, message: str) -> Problem:
    """Problem in one line: subject, cause, and advice where there is one for the reason."""
    parts = [f"{subject}: {message}" if message else f"{subject}: {reason}"]
    if reason in ADVICE:
        parts.append(ADVICE[reason])
    return Problem(reason, "; ".join(parts))
