"""Containers that the kernel ended for want of memory: when it happened tells what to change."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from tts_operator.objects import fields
from tts_operator.objects.manifest import Body
from tts_operator.objects.problem import Problem

AT_START, UNDER_LOAD = "OOMKilled", "OOMKilledUnderLoad"
KILLED = 137
"""Exit code of a container whose main process was killed: 128 and SIGKILL."""
ADVICE = {
    AT_START: "raise the memory limit of the TTSModel's precision",
    UNDER_LOAD: "lower limits.cpu of the TTSModel's precision, for fewer engine processes in a pod, or its batching, or"
    " spread the load over more replicas; raise the memory limit if one request alone needs more",
}
MINUTE = timedelta(minutes=1)
TOLD_FOR = timedelta(hours=1)
"""Time for which a kill is told after it, although the pod is ready again."""


class PastKill(NamedTuple):
    """A kill for memory of a container that serves again."""

    problem: Problem
    until: datetime
    """When it is no longer told."""


def past_kills(pods: Iterable[Body], now: datetime) -> Iterator[PastKill]:
    """Kills within the last hour of containers that are ready again: the next may take the last replica.

    Whether one came at the start or under load is no longer to be seen, since the pod's condition Ready has changed
    again. A container that is ready with the same memory had enough to start.
    """
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = (container.get("lastState") or {}).get("terminated") or {}
            finished = fields.instant(ended.get("finishedAt"))
            if not container.get("ready") or not killed_for_memory(ended) or finished is None:
                continue
            if now < (until := finished + TOLD_FOR):
                yield PastKill(past_problem(pod, container, ended, finished), until)


def past_problem(pod: Body, container: Body, ended: Body, finished: datetime) -> Problem:
    """Reason, cause and advice of a kill for memory after which the container is ready again."""
    limit = memory_limit(pod, str(container.get("name", "")))
    started = fields.instant(ended.get("startedAt"))
    ran = f" after {duration(finished - started)}" if started else ""
    restarts = int(container.get("restartCount", 1))
    message = (
        f"pod {pod['metadata']['name']}: the container used more memory than"
        f" {f'its limit of {limit}' if limit else 'the node had'} and was killed{ran} at {finished:%Y-%m-%dT%H:%M:%SZ}"
        f" ({restarts} restart{'s' * (restarts != 1)}); it is ready again; {ADVICE[UNDER_LOAD]}"
    )
    return Problem(UNDER_LOAD, message)


def killed_for_memory(ended: Body) -> bool:
    """Whether a container ended after the kernel had killed one of its processes for memory."""
    return ended.get("reason") == "OOMKilled"


def memory_problem(pod: Body, container: str, ended: Body) -> Problem:
    """Reason and cause of a kill for memory, without advice."""
    limit = memory_limit(pod, container)
    more = f"more memory than {f'its limit of {limit}' if limit else 'the node had'}"
    served = served_for(pod, ended)
    when = "before it was ready" if served is None else f"after it had served for {duration(served)}"
    if ended.get("exitCode", KILLED) == KILLED:
        what = f"the container used {more}, {when}"
    else:
        what = (
            f"an engine process was killed because the container used {more}, and the server ended {when} with exit"
            f" code {ended['exitCode']}"
        )
    return Problem(AT_START if served is None else UNDER_LOAD, what)


def served_for(pod: Body, ended: Body) -> timedelta | None:
    """Time for which the container ran that ended, if it had been ready; None if it never was.

    The kubelet sets a pod's condition Ready to False when a ready container ends. If the condition has not changed
    since the container started, it was False all the time.
    """
    started, finished = (fields.instant(ended.get(name)) for name in ("startedAt", "finishedAt"))
    ready = fields.condition(pod, "Ready")
    changed: datetime | None = fields.instant(ready.get("lastTransitionTime")) if ready else None
    if started is None or finished is None or changed is None or changed <= started:
        return None
    return finished - started


def memory_limit(pod: Body, container: str) -> str:
    """Memory limit of a container; empty without one."""
    spec = pod.get("spec") or {}
    for each in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        if each.get("name") == container:
            return str(((each.get("resources") or {}).get("limits") or {}).get("memory", ""))
    return ""


def duration(time: timedelta) -> str:
    """A duration in words, to the minute."""
    minutes = time // MINUTE
    return "less than a minute" if minutes < 1 else f"{minutes} minute{'s' * (minutes > 1)}"
