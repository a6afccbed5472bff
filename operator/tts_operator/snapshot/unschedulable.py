"""Why the scheduler finds no node for a pod, by the text of its message."""

import re

from tts_operator.snapshot.model_volumes import CLAIMS

UNSCHEDULABLE = "Unschedulable"
WAITING_FOR_ACCELERATOR = "WaitingForAccelerator"
ACCELERATORS = re.compile(r"Insufficient [^\s,;]+/[^\s,;]|cannot allocate all claims|resourceclaim|resource claim")
"""Words of the scheduler where devices are missing: pkg/scheduler/framework/plugins/{noderesources,dynamicresources} of
Kubernetes."""
NO_ROOM = frozenset({UNSCHEDULABLE, WAITING_FOR_ACCELERATOR})
"""Reasons that say nothing about the change that a pod belongs to."""
ADVICE = {
    UNSCHEDULABLE: "free capacity, or lower the resource requests of its TTSModel",
    WAITING_FOR_ACCELERATOR: "free an accelerator, add a node with one, or correct spec.accelerator of the TTSModel",
}


def unschedulable_reason(message: str) -> str:
    """Reason of a pod that finds no node."""
    if claim := next((reason for reason, pattern in CLAIMS if pattern.search(message)), None):
        return claim
    return WAITING_FOR_ACCELERATOR if ACCELERATORS.search(message) else UNSCHEDULABLE
