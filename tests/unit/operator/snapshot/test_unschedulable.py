"""The scheduler's words for a pod without a node become a reason that says whether a device is missing."""

from __future__ import annotations

import pytest

from tests.support.resources import Object
from tts_operator.snapshot.unschedulable import unschedulable_reason

GPU: Object = {"spec": {"containers": [{"resources": {"limits": {"cpu": "1", "nvidia.com/gpu": "1"}}}]}}
SIDECAR: Object = {"spec": {"containers": [{}], "initContainers": GPU["spec"]["containers"]}}
CLAIM: Object = {"spec": {"containers": [{}], "resourceClaims": [{"name": "accelerator"}]}}
PLAIN: Object = {"spec": {"containers": [{"resources": {"limits": {"cpu": "1"}}}]}}
NO_LABEL = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate"
REASONS: dict[str, tuple[Object, str, str]] = {
    "every GPU is taken": (GPU, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", "WaitingForAccelerator"),
    "every slice is taken": (
        GPU,
        "0/2 nodes are available: 1 Insufficient nvidia.com/mig-1g.10gb, 1 node(s) had untolerated taint(s).",
        "WaitingForAccelerator",
    ),
    "no device is free": (CLAIM, "0/1 nodes are available: 1 cannot allocate all claims.", "WaitingForAccelerator"),
    "no node has one": (GPU, NO_LABEL, "WaitingForAccelerator"),
    "no node of a sidecar has one": (SIDECAR, NO_LABEL, "WaitingForAccelerator"),
    "no node": (GPU, "no nodes available to schedule pods", "WaitingForAccelerator"),
    "the node of the GPU has no CPU": (
        GPU,
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector.",
        "Unschedulable",
    ),
    "the node has no CPU": (PLAIN, "0/1 nodes are available: 1 Insufficient cpu.", "Unschedulable"),
    "no node at all": (PLAIN, "no nodes available to schedule pods", "Unschedulable"),
    "labels without a device": (PLAIN, NO_LABEL, "Unschedulable"),
    "a claim of files": (GPU, 'persistentvolumeclaim "models" not found', "ClaimNotFound"),
    "nothing is known of the pod": ({}, "0/1 nodes are available: 1 Insufficient cpu.", "Unschedulable"),
}


@pytest.mark.parametrize(("pod", "message", "reason"), REASONS.values(), ids=REASONS)
def test_reason(pod: Object, message: str, reason: str) -> None:
    assert unschedulable_reason(pod, message) == reason
