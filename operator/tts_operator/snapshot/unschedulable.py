"""Why the scheduler finds no node for a pod, by the text of its message."""

import re

from tts_operator.objects.manifest import Body
from tts_operator.snapshot.model_volumes import CLAIMS

UNSCHEDULABLE = "Unschedulable"
WAITING_FOR_ACCELERATOR = "WaitingForAccelerator"
NO_ROOM = frozenset({UNSCHEDULABLE, WAITING_FOR_ACCELERATOR})
"""Reasons that say nothing about the change that a pod belongs to."""
# pkg/scheduler/framework/plugins/{noderesources,dynamicresources} of Kubernetes
DEVICES = re.compile(r"Insufficient [^\s,;]+/[^\s,;]|cannot allocate all claims|resourceclaim")
"""Words of the scheduler where devices are missing."""
OTHER_RESOURCES = re.compile(r"Insufficient [^\s,;/]+[.,;]?(\s|$)|Too many pods")
"""Words of the scheduler where a node lacks something else, such as CPU."""
ADVICE = {
    UNSCHEDULABLE: "free capacity, or lower the resource requests of its TTSModel",
    WAITING_FOR_ACCELERATOR: "free an accelerator, add a node with one, or correct spec.accelerator of the TTSModel",
}


def unschedulable_reason(pod: Body, message: str) -> str:
    """Reason of a pod that finds no node."""
    if claim := next((reason for reason, pattern in CLAIMS if pattern.search(message)), None):
        return claim
    devices = DEVICES.search(message) or (wants_device(pod) and not OTHER_RESOURCES.search(message))
    return WAITING_FOR_ACCELERATOR if devices else UNSCHEDULABLE


def wants_device(pod: Body) -> bool:
    """Whether the pod asks for an accelerator: where no node has one, the scheduler speaks of labels and taints."""
    spec = pod.get("spec") or {}
    containers = (*spec.get("containers", ()), *(spec.get("initContainers") or ()))
    limits = (name for each in containers for name in (each.get("resources") or {}).get("limits") or {})
    return bool(spec.get("resourceClaims")) or any("/" in name for name in limits)
