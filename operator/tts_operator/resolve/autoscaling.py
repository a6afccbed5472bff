"""CPU target of the autoscaler."""

from tts_operator.api import MetricType, TTSTenant


def cpu_utilization(tenant: TTSTenant) -> int:
    """What the HPA aims at."""
    metrics = tenant.spec.autoscaling.metrics if tenant.spec.autoscaling else ()
    targets = (metric.average_utilization for metric in metrics if metric.type is MetricType.CPU)
    return next((target for target in targets if target is not None), CPU_UTILIZATION)


CPU_UTILIZATION = 70
"""Percent of the requested CPU, where the tenant sets no metric."""
