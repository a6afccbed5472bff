"""What moves replicas between the calendar's bounds."""

from typing import Annotated, Literal

from pydantic import Field

from tts_operator.api.apimodel import APIModel, cel, list_map
from tts_operator.api.names import Quantity


class Metric(APIModel):
    """What is measured, and the value that one replica should carry."""

    type: Literal["CPU", "InFlight", "QueueDepth"]
    """CPU: use of the CPU request. InFlight: requests being spoken. QueueDepth: requests waiting."""
    average_utilization: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = None
    """Percent of the CPU request, over all replicas. For CPU only."""
    average_value: Quantity | None = None
    """Value per replica, such as `4`. For InFlight and QueueDepth only."""

    @cel(
        "self.type == 'CPU' ? has(self.averageUtilization) && !has(self.averageValue)"
        " : has(self.averageValue) && !has(self.averageUtilization)",
        "type CPU takes averageUtilization, InFlight and QueueDepth take averageValue",
    )
    def target_fits_type(self) -> bool:
        if self.type == "CPU":
            return self.average_utilization is not None and self.average_value is None
        return self.average_value is not None and self.average_utilization is None


class Autoscaling(APIModel):
    """What moves replicas between the calendar's bounds."""

    provider: Literal["HPA", "KEDA"] = "HPA"
    """HPA: Kubernetes's own autoscaler. KEDA: a ScaledObject, which needs KEDA in the cluster."""
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=3), list_map("type")] | None = None
    """The one that asks for most replicas wins. Unset: CPU at 70 percent; with an accelerator, InFlight."""
