"""ResourceClaimTemplate of a pool whose pods each claim a device, and the claim in its pods."""

from typing import Any

from tts_operator.desired.metadata import pool_metadata
from tts_operator.objects.manifest import Manifest
from tts_operator.resolve.accelerators import device_class
from tts_operator.resolve.resolved import Pool, Resolved

CLAIM = "accelerator"
"""Name of the claim in a pod, and of its only request."""


def resource_claim_template(resolved: Resolved, pool: Pool) -> Manifest | None:
    """One device of the model's DeviceClass; None for a model without one.

    Its name is the pool's and stays: no field of it can be changed, so that it is replaced for another DeviceClass.
    """
    if pool.model is None or (name := device_class(pool.model)) is None:
        return None
    exactly = {"deviceClassName": name, "allocationMode": "ExactCount", "count": 1}
    return Manifest.of(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": pool_metadata(resolved, pool),
            "spec": {"spec": {"devices": {"requests": [{"name": CLAIM, "exactly": exactly}]}}},
        }
    )


def pod_claims(pool: Pool) -> list[dict[str, str]]:
    """The claim that each pod of the pool gets; empty without a DeviceClass."""
    if pool.model is None or device_class(pool.model) is None:
        return []
    return [{"name": CLAIM, "resourceClaimTemplateName": pool.name}]


def with_claim(container: dict[str, Any], pool: Pool) -> dict[str, Any]:
    """The container that computes, with its part in the pod's claim."""
    if not pod_claims(pool):
        return container
    return {**container, "resources": {**container["resources"], "claims": [{"name": CLAIM}]}}
