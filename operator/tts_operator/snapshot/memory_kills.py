"""Containers that the kernel ended for want of memory: when it happened tells what to change."""

from datetime import datetime, timedelta

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
