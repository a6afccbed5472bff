"""HorizontalPodAutoscaler within the schedule's bounds."""

from typing import Any

from tts_operator.api.schedule import Behavior
from tts_operator.calendar.bounds import Bounds
from tts_operator.desired.metadata import pool_metadata
from tts_operator.objects.manifest import Manifest
from tts_operator.resolve.resolved import Pool, Resolved


def horizontal_pod_autoscaler(resolved: Resolved, pool: Pool) -> Manifest:
    """The HPA that keeps replicas within the current bounds.

    It stays while the tenant is suspended: an HPA disables itself at zero replicas, and resumes with the first one.
    """
    return Manifest.of(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": pool_metadata(resolved, pool),
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": pool.name},
                **limits(pool.bounds),
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": resolved.cpu_utilization},
                        },
                    }
                ],
                **behavior(resolved.behavior),
            },
        }
    )


def behavior(wanted: Behavior | None) -> dict[str, Any]:
    """The HPA's behavior in the active window. Without one the field is anybody's."""
    return {"behavior": wanted.model_dump(mode="json", by_alias=True, exclude_none=True)} if wanted else {}


def limits(bounds: Bounds) -> dict[str, int]:
    """The HPA's limits; an HPA takes no zero."""
    return {"minReplicas": max(bounds.min_replicas, 1), "maxReplicas": max(bounds.max_replicas, 1)}
