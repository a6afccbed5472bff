"""Why the API server refused to create a pod, by the text of its message: its reason is always Forbidden.

Each cause has another addressee: who owns the quota of a namespace is seldom who owns its admission policies.
"""

import re
from typing import NamedTuple

from tts_operator.objects.fields import EXCEEDED_QUOTA

QUOTA_EXCEEDED = "QuotaExceeded"
DENIED = "AdmissionDenied"


class Refusal(NamedTuple):
    """One cause, how the API server words it, and what to do."""

    reason: str
    pattern: re.Pattern[str]
    advice: str


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        QUOTA_EXCEEDED,
        re.compile(f"{EXCEEDED_QUOTA}|insufficient quota to match these scopes"),
        "raise the namespace's ResourceQuota, or lower the replica count",
    ),
    Refusal(
        "QuotaRequiresResources",
        re.compile("failed quota: .*must specify"),
        "set these resources in the precision of the TTSModel, or give the namespace a LimitRange with defaults: its"
        " ResourceQuota admits no pod without them",
    ),
    Refusal(
        "LimitRangeViolated",
        # plugin/pkg/admission/limitranger of Kubernetes: minimum, maximum, and the ratio of limit to request
        re.compile(
            r"(minimum|maximum) \S+ usage per (Container|Pod) is|max limit to request ratio per (Container|Pod)"
        ),
        "change the LimitRange of the namespace, or the resources in the precision of the TTSModel",
    ),
    Refusal(
        "PriorityClassNotFound",
        re.compile("no PriorityClass with name .* was found"),
        "create the PriorityClass, or correct spec.priorityClassName of the TTSModel",
    ),
    Refusal(
        "RuntimeClassNotFound",
        re.compile("RuntimeClass .* not found"),
        "create the RuntimeClass, or correct spec.runtimeClassName of the TTSModel",
    ),
    Refusal(
        "ServiceAccountNotFound",
        re.compile("error looking up service account"),
        "no action needed: the operator creates it again",
    ),
    Refusal(
        "WebhookFailed",
        re.compile("failed calling webhook"),
        "ask the owner of the webhook that the message names: it does not answer",
    ),
)
"""The first that matches applies."""
ADVICE = {
    **{refusal.reason: refusal.advice for refusal in REFUSALS},
    DENIED: "ask the owner of the admission policy",
}


def refusal_reason(message: str) -> str:
    """Reason of a refused pod; AdmissionDenied where the message fits no other cause."""
    return next((refusal.reason for refusal in REFUSALS if refusal.pattern.search(message)), DENIED)
