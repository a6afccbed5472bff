"""CPU target of the autoscaler."""

from tts_operator.api import MetricType, TTSTenant

CPU_UTILIZATION = 70
"""Default target of a tenant that sets no metric, percent of the CPU request."""


def cpu_utilization(tenant: TTSTenant) -> int:
    """Target of the HPA, percent of the CPU request."""
    metrics = tenant.spec.autoscaling.metrics if tenant.spec.autoscaling else ()
    targets = (metric.average_utilization for metric in metrics if metric.type is MetricType.CPU)
    return next((target for target in targets if target is not None), CPU_UTILIZATION)
