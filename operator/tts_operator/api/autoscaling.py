"""Autoscaling between the schedule's replica bounds."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tts_operator.api.base import APIModel, Quantity, cel, list_map


class Provider(StrEnum):
    """Autoscaler that sets the replica count."""

    HPA = "HPA"
    KEDA = "KEDA"


class MetricType(StrEnum):
    """Metric that the autoscaler targets."""

    CPU = "CPU"
    IN_FLIGHT = "InFlight"
    QUEUE_DEPTH = "QueueDepth"


class Metric(APIModel):
    """Metric and its target value."""

    model_config = cel(
        (
            "self.type == 'CPU' ? has(self.averageUtilization) && !has(self.averageValue) : "
            "has(self.averageValue) && !has(self.averageUtilization)",
            "set only averageUtilization for type CPU, only averageValue for InFlight and QueueDepth",
        )
    )

    type: MetricType
    """Metric that the autoscaler targets."""
    average_utilization: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Target of CPU: percent of the CPU request, averaged over replicas."""
    average_value: Quantity | None = None
    """Target of InFlight and QueueDepth: requests per replica, averaged over replicas."""


class Autoscaling(APIModel):
    """Autoscaler settings."""

    provider: Provider = Provider.HPA
    """Autoscaler that sets the replica count between minReplicas and maxReplicas."""
    metrics: Annotated[tuple[Metric, ...], Field(max_length=3), list_map("type")] = ()
    """Metrics that the autoscaler targets. Default: CPU at 70 % without an accelerator, InFlight with one."""
