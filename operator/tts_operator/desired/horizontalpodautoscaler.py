"""HorizontalPodAutoscaler within the schedule's bounds."""

from typing import Any

from tts_operator.calendar.bounds import Bounds
from tts_operator.desired.metadata import pool_metadata
from tts_operator.objects.labels import SCHEDULE, pool_labels
from tts_operator.objects.manifest import Manifest
from tts_operator.resolve.last_schedule import schedule_text
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.snapshot import lookup


def horizontal_pod_autoscaler(resolved: Resolved, pool: Pool) -> Manifest:
    """The HPA that keeps replicas within the current bounds.

    It stays while the tenant is suspended: an HPA disables itself at zero replicas, and resumes with the first one.
    """
    return Manifest.of(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {**pool_metadata(resolved, pool), **schedule_annotation(resolved, pool)},
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
            },
        }
    )


def with_last_schedule(resolved: Resolved) -> Manifest | None:
    """The live HPA with the bounds of the last accepted schedule; None if none is followed, or the HPA is gone.

    It has the fields that `horizontal_pod_autoscaler` sets, from which a refused spec cannot be built.
    """
    live = lookup.autoscaler(resolved.observed, resolved.following) if resolved.following else None
    if live is None or resolved.window is None:
        return None
    metadata = live["metadata"]
    model = lookup.model_of(resolved.observed, resolved.following)
    return Manifest.of(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "labels": pool_labels(resolved.key.name, model),
                "ownerReferences": metadata["ownerReferences"],
                "annotations": {SCHEDULE: metadata["annotations"][SCHEDULE]},
            },
            "spec": {
                "scaleTargetRef": live["spec"]["scaleTargetRef"],
                **limits(resolved.window.bounds),
                "metrics": live["spec"]["metrics"],
            },
        }
    )


def schedule_annotation(resolved: Resolved, pool: Pool) -> dict[str, Any]:
    """Annotation with the schedule that the pool follows; empty for pools without one."""
    schedule = resolved.tenant.spec.schedule if resolved.tenant else None
    if schedule is None or pool.name != resolved.pools[0].name:
        return {}
    return {"annotations": {SCHEDULE: schedule_text(schedule)}}


def limits(bounds: Bounds) -> dict[str, int]:
    """The HPA's limits; an HPA takes no zero."""
    return {"minReplicas": max(bounds.min_replicas, 1), "maxReplicas": max(bounds.max_replicas, 1)}
