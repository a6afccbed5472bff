"""ScaledObject of KEDA within the schedule's bounds."""

from typing import Any

from tts_operator.api import Metric, MetricType
from tts_operator.calendar.bounds import Bounds
from tts_operator.desired.metadata import pool_metadata
from tts_operator.desired.scaling import behavior, scale_target, targets
from tts_operator.objects import quantity
from tts_operator.objects.kinds import SCALED_OBJECT
from tts_operator.objects.labels import KEDA_PAUSED
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import POOL_METRICS
from tts_operator.resolve.resolved import Pool, Resolved


def scaled_object(resolved: Resolved, pool: Pool) -> Manifest:
    """The ScaledObject from which KEDA makes an HPA within the current bounds.

    KEDA itself never scales to zero, and is paused there: it would start the minimum again at its next poll. Paused, it
    deletes its HPA and leaves replicas alone, so that the schedule's zero, the waker and a suspension decide.
    """
    metadata = pool_metadata(resolved, pool)
    metadata["annotations"] = {KEDA_PAUSED: "true" if resolved.stopped else "false"}
    address = resolved.settings.keda.prometheus_address if resolved.settings.keda else ""
    return Manifest.of(
        {
            "apiVersion": SCALED_OBJECT.api_version,
            "kind": SCALED_OBJECT.name,
            "metadata": metadata,
            "spec": {
                "scaleTargetRef": scale_target(pool),
                **limits(pool.bounds),
                "triggers": [trigger(resolved, pool, metric, address) for metric in targets(resolved, pool)],
                "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(resolved)}},
            },
        }
    )


def limits(bounds: Bounds) -> dict[str, int]:
    """The ScaledObject's limits. With a minimum of 0, KEDA would decide about zero by the metrics."""
    return {"minReplicaCount": max(bounds.min_replicas, 1), "maxReplicaCount": max(bounds.max_replicas, 1)}


def trigger(resolved: Resolved, pool: Pool, metric: Metric, address: str) -> dict[str, Any]:
    """One entry of `spec.triggers`."""
    if metric.type is MetricType.CPU:
        return {"type": "cpu", "metricType": "Utilization", "metadata": {"value": str(metric.average_utilization)}}
    return {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": address,
            "query": query(resolved, pool, metric.type),
            "threshold": decimal(metric.average_value or "0"),
            # A series that is gone is no load of zero: the HPA reports it, and keeps the replicas.
            "ignoreNullValues": "false",
        },
    }


def query(resolved: Resolved, pool: Pool, metric: MetricType) -> str:
    """PromQL for the sum over the pool's pods.

    Prometheus itself writes these labels, from the pod that it reads: no team's pod can count for another team.
    """
    labels = {
        "namespace": resolved.key.namespace,
        "ttsfleet_io_tenant": resolved.key.name,
        "ttsfleet_io_model": pool.model_name,
    }
    matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"sum({POOL_METRICS[metric]}{{{matchers}}})"


def decimal(amount: str) -> str:
    """A quantity as KEDA reads numbers: without a suffix or an exponent."""
    return f"{quantity.parse(amount).normalize():f}"
