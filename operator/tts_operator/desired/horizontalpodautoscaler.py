"""Who moves replicas between the schedule's bounds."""

from tts_operator.desired.metadata import pool_metadata
from tts_operator.objects.manifest import Manifest
from tts_operator.resolve.resolved import Pool, Resolved


def horizontal_pod_autoscaler(resolved: Resolved, pool: Pool) -> Manifest:
    """The HPA that holds replicas within the bounds of now.

    It stays while the tenant is suspended: at zero replicas an HPA disables itself, and wakes with them.
    """
    return Manifest.of(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": pool_metadata(resolved, pool),
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": pool.name},
                "minReplicas": max(pool.bounds.min_replicas, 1),
                "maxReplicas": max(pool.bounds.max_replicas, 1),
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": resolved.cpu_utilization},
                        },
                    }
                ],
            },
        }
    )
