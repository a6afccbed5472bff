"""Autoscaling between the schedule's replica bounds."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tts_operator.api.base import APIModel, Quantity, atomic, cel, list_map, positive


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
    """Metric that the autoscaler targets. InFlight: requests that a pod has accepted and not yet answered. QueueDepth:
    utterances that wait in a pod for an engine. With provider KEDA both are read from the Prometheus of the platform,
    with provider HPA from the custom metrics API."""
    average_utilization: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Target of CPU: percent of the CPU request, averaged over replicas."""
    average_value: Annotated[Quantity, *positive("averageValue")] | None = None
    """Target of InFlight and QueueDepth: requests or utterances per replica, averaged over replicas."""


class PolicyType(StrEnum):
    """Unit of a scaling policy."""

    PODS = "Pods"
    PERCENT = "Percent"


class PolicySelect(StrEnum):
    """Policy that counts where several allow different changes."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class ScalingPolicy(APIModel):
    """Largest change of replicas in a period."""

    type: PolicyType
    """Whether the value is a number of pods or a percentage of the present ones."""
    value: Annotated[int, Field(ge=1, le=1000)]
    """Largest change, in pods or percent."""
    period_seconds: Annotated[int, Field(ge=1, le=1800)]
    """Period in which the change is counted, in seconds."""


class ScalingRules(APIModel):
    """Speed of a change of replicas in one direction, as in `spec.behavior` of a HorizontalPodAutoscaler."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Time over which recommendations are compared, in seconds: scaling down follows the highest, scaling up the
    lowest."""
    policies: Annotated[tuple[ScalingPolicy, ...], Field(min_length=1, max_length=4), atomic()] | None = None
    """Limits of the speed."""
    select_policy: PolicySelect | None = None
    """Whether the policy that allows most counts, or the one that allows least; Disabled: no change in this
    direction."""


class Behavior(APIModel):
    """Speed of scaling in each direction. Fields that are not set have the default values."""

    scale_up: ScalingRules | None = None
    """Speed of scaling up. Default: at once, by at most 100 % or 4 pods in 15 seconds, whichever is more."""
    scale_down: ScalingRules | None = None
    """Speed of scaling down. Default: by the highest recommendation of the last 300 seconds, by at most 10 % or one
    pod in 60 seconds, whichever is more. Bounds of the schedule apply at once."""


class Autoscaling(APIModel):
    """Autoscaler settings."""

    provider: Provider = Provider.HPA
    """Autoscaler that sets the replica count between minReplicas and maxReplicas. KEDA requires that the platform has
    it, and enables it in the operator's chart; until then a HorizontalPodAutoscaler with a CPU target scales."""
    metrics: Annotated[tuple[Metric, ...], Field(max_length=3), list_map("type")] = ()
    """Metrics that the autoscaler targets. Default: CPU at 70 %; with provider KEDA, for a model with an accelerator:
    InFlight at 4."""
    behavior: Behavior | None = None
    """Speed of scaling up and down."""
