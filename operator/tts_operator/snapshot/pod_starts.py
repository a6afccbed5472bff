"""How long pods of a model took to start, from a node to their first readiness."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tts_operator.objects import fields
from tts_operator.objects.labels import MODEL_LABEL
from tts_operator.objects.manifest import Body
from tts_operator.snapshot.observed import Observed

LONGEST_START = timedelta(hours=1)
"""Longest time that counts as a start: the longest lead of `preWarmSeconds`. A pod that became ready later has been
ready before, or waited for a person."""
QUANTILE = 0.95
STEPS = ((60, 5), (300, 15), (3600, 60))
"""Seconds up to which a load time is rounded up to a multiple of so many: each new one reaches every tenant."""


class PodStart(NamedTuple):
    """One start of a pod."""

    uid: str
    model: str
    ready_at: datetime
    seconds: int


def pod_starts(observed: Observed) -> Iterator[PodStart]:
    """Starts of the tenant's pods that are ready, and whose containers did not fail before.

    The time for which a pod waited for a node is no part of it: that is the cluster's, not the model's.
    """
    for pod in observed.pods:
        model = str((pod["metadata"].get("labels") or {}).get(MODEL_LABEL, ""))
        scheduled_at, ready_at = became_true(pod, "PodScheduled"), became_true(pod, "Ready")
        if not model or scheduled_at is None or ready_at is None or restarted(pod):
            continue
        if timedelta() <= ready_at - scheduled_at <= LONGEST_START:
            seconds = math.ceil((ready_at - scheduled_at).total_seconds())
            yield PodStart(str(pod["metadata"].get("uid", "")), model, ready_at, seconds)


def became_true(pod: Body, condition: str) -> datetime | None:
    """When a condition of the pod became True; None if it is not."""
    found = fields.condition(pod, condition)
    return fields.instant(found.get("lastTransitionTime")) if found and found.get("status") == "True" else None


def restarted(pod: Body) -> bool:
    """Whether a container of the pod was started more than once."""
    status = pod.get("status") or {}
    containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return any(container.get("restartCount") for container in containers)


def load_seconds(starts: Sequence[int]) -> int | None:
    """The P95 of starts in seconds, rounded up; None without any. The nearest rank: of up to 19 the longest."""
    if not starts:
        return None
    measured = sorted(starts)[math.ceil(QUANTILE * len(starts)) - 1]
    step = next((step for longest, step in STEPS if measured <= longest), STEPS[-1][1])
    return -(-measured // step) * step
