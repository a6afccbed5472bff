"""HorizontalPodAutoscaler within the schedule's bounds."""

from typing import Any

from tts_operator.api import Metric, MetricType
from tts_operator.calendar.bounds import Bounds
from tts_operator.desired.metadata import pool_metadata
from tts_operator.desired.scaling import behavior, scale_target, targets
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import POOL_METRICS
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
                "scaleTargetRef": scale_target(pool),
                **limits(pool.bounds),
                "metrics": [metric_spec(metric) for metric in targets(resolved, pool)],
                "behavior": behavior(resolved),
            },
        }
    )


def limits(bounds: Bounds) -> dict[str, int]:
    """The HPA's limits; an HPA takes no zero."""
    return {"minReplicas": max(bounds.min_replicas, 1), "maxReplicas": max(bounds.max_replicas, 1)}


def metric_spec(metric: Metric) -> dict[str, Any]:
    """One entry of `spec.metrics`."""
    if metric.type is MetricType.CPU:
        target = {"type": "Utilization", "averageUtilization": metric.average_utilization}
        return {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    target = {"type": "AverageValue", "averageValue": metric.average_value}
    return {"type": "Pods", "pods": {"metric": {"name": POOL_METRICS[metric.type]}, "target": target}}
