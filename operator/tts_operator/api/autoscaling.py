"""How load moves replicas between the schedule's bounds."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tts_operator.api.base import APIModel, Quantity, cel, list_map


class Provider(StrEnum):
    """Who moves replicas."""

    HPA = "HPA"
    KEDA = "KEDA"


class MetricType(StrEnum):
    """What load is measured by."""

    CPU = "CPU"
    IN_FLIGHT = "InFlight"
    QUEUE_DEPTH = "QueueDepth"


class Metric(APIModel):
    """One measure of load, and its target."""

    model_config = cel(
        (
            "self.type == 'CPU' ? has(self.averageUtilization) && !has(self.averageValue) : "
            "has(self.averageValue) && !has(self.averageUtilization)",
            "type CPU takes averageUtilization; InFlight and QueueDepth take averageValue",
        )
    )

    type: MetricType
    """What is measured."""
    average_utilization: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Percent of the requested CPU, on average over replicas."""
    average_value: Quantity | None = None
    """Requests in flight or waiting, on average over replicas."""


class Autoscaling(APIModel):
    """How load moves replicas."""

    provider: Provider = Provider.HPA
    """Who moves them."""
    metrics: Annotated[tuple[Metric, ...], Field(max_length=3), list_map("type")] = ()
    """What load is. Default: CPU at 70 % without an accelerator, InFlight with one."""
