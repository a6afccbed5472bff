"""Each reason why pods do not run names who can change it, and how."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.operator_builders import NOON, pod, stamp
from tests.support.resources import Object
from tts_operator.objects.problem import Problem
from tts_operator.snapshot.pod_failures import failures_of_deployment, failures_of_pod

REFUSALS: dict[str, tuple[str, str, str]] = {
    # a message of the API server, the reason, a part of the advice
    "a full quota": (
        'pods "acme-espeak-6c5d-x7k" is forbidden: exceeded quota: compute, requested: limits.cpu=2,'
        " used: limits.cpu=0, limited: limits.cpu=1",
        "QuotaExceeded",
        "ResourceQuota",
    ),
    "a quota of limits, and a model without": (
        'pods "acme-espeak-6c5d-x7k" is forbidden: failed quota: compute: must specify limits.cpu for: tts-server',
        "QuotaRequiresResources",
        "precision of the TTSModel",
    ),
    "a quota of a priority class that the namespace lacks": (
        'pods "acme-espeak-6c5d-x7k" is forbidden: insufficient quota to match these scopes: [{PriorityClass In'
        " [critical]}]",
        "QuotaExceeded",
        "ResourceQuota",
    ),
    "more than the LimitRange allows": (
        'pods "acme-espeak-6c5d-x7k" is forbidden: [maximum cpu usage per Container is 100m, but limit is 2, maximum'
        " memory usage per Container is 64Mi, but limit is 1Gi]",
        "LimitRangeViolated",
        "LimitRange of the namespace",
    ),
    "less than the LimitRange asks for": (
        'pods "acme-espeak-6c5d-x7k" is forbidden: minimum memory usage per Pod is 8Gi, but request is 512Mi',
        "LimitRangeViolated",
        "LimitRange of the namespace",
    ),
    "a limit too far above its request": (
        'pods "acme-espeak-6c5d-x7k" is forbidden: cpu max limit to request ratio per Container is 1, but provided'
        " ratio is 4.000000",
        "LimitRangeViolated",
        "LimitRange of the namespace",
    ),
    "no such PriorityClass": (
        'pods "acme-espeak-6c5d-" is forbidden: no PriorityClass with name critical was found',
        "PriorityClassNotFound",
        "spec.priorityClassName of the TTSModel",
    ),
    "no such RuntimeClass": (
        'pods "acme-espeak-6c5d-" is forbidden: pod rejected: RuntimeClass "gvisor" not found',
        "RuntimeClassNotFound",
        "spec.runtimeClassName of the TTSModel",
    ),
    "a webhook that is gone": (
        'Internal error occurred: failed calling webhook "validate.policy.example": failed to call webhook: Post'
        ' "https://policy.kube-system.svc:443/?timeout=10s": no endpoints available for service "policy"',
        "WebhookFailed",
        "owner of the webhook",
    ),
    "a ServiceAccount that somebody deleted": (
        'pods "acme-espeak-6c5d-" is forbidden: error looking up service account team-acme/acme-tts: serviceaccount'
        ' "acme-tts" not found',
        "ServiceAccountNotFound",
        "no action needed",
    ),
    "a policy": (
        "pods \"acme-espeak-6c5d-x7k\" is forbidden: ValidatingAdmissionPolicy 'no-pods' with binding 'no-pods' denied"
        " request: no pods today",
        "AdmissionDenied",
        "owner of the admission policy",
    ),
}


@pytest.mark.parametrize(("message", "reason", "advice"), REFUSALS.values(), ids=REFUSALS)
def test_a_pod_that_is_refused(message: str, reason: str, advice: str) -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    found = list(failures_of_deployment({"metadata": {"name": "acme-espeak"}, "status": {"conditions": [condition]}}))
    assert [each.reason for each in found] == [reason]
    assert found[0].message.startswith(f"deployment acme-espeak: {message}; ")
    assert advice in found[0].message


def killed(
    *, ran: timedelta, ready: timedelta | None, code: int = 137, state: str = "waiting", limit: str = "1Gi"
) -> Object:
    """A pod whose container ended for memory at noon; `ready`: when its Ready condition last changed, before noon."""
    ended = {
        "reason": "OOMKilled",
        "exitCode": code,
        "startedAt": stamp(NOON - ran),
        "finishedAt": stamp(NOON),
    }
    states: dict[str, Object] = {
        "waiting": {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}},
        "terminated": {"state": {"terminated": ended}},
        "running": {"state": {"running": {}}, "lastState": {"terminated": ended}},
    }
    status: dict[str, Any] = {
        "containerStatuses": [{"name": "tts-server", "ready": False, "restartCount": 3, **states[state]}]
    }
    if ready is not None:
        changed = {"type": "Ready", "status": "False", "lastTransitionTime": stamp(NOON - ready)}
        status["conditions"] = [changed]
    found = pod(**status)
    resources = {"limits": {"memory": limit}} if limit else {}
    found["spec"] = {"containers": [{"name": "tts-server", "resources": resources}]}
    return found


SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
KILLS: dict[str, tuple[Object, str, str, str]] = {
    # a pod, the reason, a part of the cause, a part of the advice
    "while it loads, again and again": (
        killed(ran=9 * SECOND, ready=HOUR),
        "OOMKilled",
        "the container used more memory than its limit of 1Gi, before it was ready",
        "raise the memory limit",
    ),
    "while it loads, for the first time": (
        killed(ran=9 * SECOND, ready=9 * SECOND, state="terminated"),
        "OOMKilled",
        "before it was ready",
        "raise the memory limit",
    ),
    "after an hour of requests": (
        killed(ran=HOUR, ready=0 * SECOND, state="terminated"),
        "OOMKilledUnderLoad",
        "after it had served for 60 minutes",
        "more replicas",
    ),
    "after an hour of requests, and it starts again": (
        killed(ran=HOUR, ready=0 * SECOND, state="running"),
        "OOMKilledUnderLoad",
        "after it had served for 60 minutes",
        "fewer engine processes",
    ),
    "by the first requests": (
        killed(ran=30 * SECOND, ready=1 * SECOND),
        "OOMKilledUnderLoad",
        "after it had served for less than a minute",
        "batching",
    ),
    "an engine process, while it loads": (
        killed(ran=9 * SECOND, ready=HOUR, code=1),
        "OOMKilled",
        "an engine process was killed because the container used more memory than its limit of 1Gi, and the server"
        " ended before it was ready with exit code 1",
        "raise the memory limit",
    ),
    "an engine process, under load": (
        killed(ran=HOUR, ready=0 * SECOND, code=3),
        "OOMKilledUnderLoad",
        "an engine process was killed",
        "more replicas",
    ),
    "without a limit: the node had no more": (
        killed(ran=9 * SECOND, ready=None, limit=""),
        "OOMKilled",
        "more memory than the node had, before",
        "raise the memory limit",
    ),
}


@pytest.mark.parametrize(("body", "reason", "cause", "advice"), KILLS.values(), ids=KILLS)
def test_a_container_that_is_killed_for_memory(body: Object, reason: str, cause: str, advice: str) -> None:
    found: list[Problem] = list(failures_of_pod(body))
    assert [each.reason for each in found] == [reason]
    assert cause in found[0].message
    assert advice in found[0].message
