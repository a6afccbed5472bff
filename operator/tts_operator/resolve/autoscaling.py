"""Autoscaler of a tenant's pools: who scales them, by which metrics and how fast, as far as the cluster has that."""

from dataclasses import dataclass

from tts_operator.api import Behavior, Metric, MetricType, Provider, ScalingRules, TTSTenant
from tts_operator.api.autoscaling import PolicySelect, PolicyType, ScalingPolicy
from tts_operator.objects.kinds import AddOn
from tts_operator.objects.problem import Problem
from tts_operator.settings import Settings
from tts_operator.snapshot.observed import Observed

CPU = Metric(type=MetricType.CPU, average_utilization=70)
"""Default target: percent of the CPU request."""
IN_FLIGHT = Metric(type=MetricType.IN_FLIGHT, average_value="4")
"""Default target of a pool with an accelerator, whose CPU says nothing, where the metric can be read."""
FAST = ScalingRules(
    stabilization_window_seconds=0,
    policies=(
        ScalingPolicy(type=PolicyType.PERCENT, value=100, period_seconds=15),
        ScalingPolicy(type=PolicyType.PODS, value=4, period_seconds=15),
    ),
    select_policy=PolicySelect.MAX,
)
"""Default of scaling up: callers wait for the first audio while replicas start."""
SLOW = ScalingRules(
    stabilization_window_seconds=300,
    policies=(
        ScalingPolicy(type=PolicyType.PERCENT, value=10, period_seconds=60),
        ScalingPolicy(type=PolicyType.PODS, value=1, period_seconds=60),
    ),
    select_policy=PolicySelect.MAX,
)
"""Default of scaling down: a long text takes minutes, and each pod that ends has to finish what it has begun."""

DEFAULT = Behavior(scale_up=FAST, scale_down=SLOW)


@dataclass(frozen=True)
class AutoscalerChoice:
    """Autoscaler that scales the pools now, and why it is not that of the spec."""

    provider: Provider = Provider.HPA
    metrics: tuple[Metric, ...] = ()
    """Targets of every pool; empty for the default of each."""
    behavior: Behavior = DEFAULT
    reads_requests: bool = False
    """Whether InFlight and QueueDepth are known to be readable."""
    problem: Problem | None = None
    """Why the spec is not followed as it is."""

    def targets(self, *, accelerator: bool) -> tuple[Metric, ...]:
        """Targets of a pool whose pods have an accelerator, or have none."""
        return self.metrics or ((IN_FLIGHT,) if accelerator and self.reads_requests else (CPU,))


def autoscaler_choice(tenant: TTSTenant, observed: Observed, settings: Settings) -> AutoscalerChoice:
    """The autoscaler of the spec, or the nearest that the cluster has: bounds hold with any."""
    spec = tenant.spec.autoscaling
    if spec is None:
        return AutoscalerChoice()
    set_behavior = spec.behavior or Behavior()
    behavior = Behavior(
        scale_up=completed(set_behavior.scale_up, FAST), scale_down=completed(set_behavior.scale_down, SLOW)
    )
    if spec.provider is Provider.HPA:
        return AutoscalerChoice(Provider.HPA, spec.metrics, behavior)
    cpu = tuple(metric for metric in spec.metrics if metric.type is MetricType.CPU)
    if (missing := keda_missing(observed, settings)) is not None:
        return AutoscalerChoice(Provider.HPA, cpu or (CPU,), behavior, problem=missing)
    if settings.keda is not None:
        return AutoscalerChoice(Provider.KEDA, spec.metrics, behavior, reads_requests=True)
    unread = [metric.type.value for metric in spec.metrics if metric.type is not MetricType.CPU]
    if not unread:
        return AutoscalerChoice(Provider.KEDA, cpu, behavior)
    problem = Problem(
        "PrometheusNotConfigured",
        f"spec.autoscaling.metrics: {' and '.join(unread)} cannot be read, because the operator knows no Prometheus:"
        " the platform team sets keda.prometheusAddress of its chart; until then CPU is the metric",
    )
    return AutoscalerChoice(Provider.KEDA, cpu or (CPU,), behavior, problem=problem)


def keda_missing(observed: Observed, settings: Settings) -> Problem | None:
    """Why KEDA cannot scale the tenant; None if it can."""
    until = "until then a HorizontalPodAutoscaler scales the tenant by CPU, within the same bounds"
    if AddOn.KEDA not in settings.add_ons:
        return Problem(
            "KEDANotEnabled",
            "spec.autoscaling.provider: the operator does not use KEDA: the platform team sets keda.enabled of its"
            f" chart, or set provider: HPA; {until}",
        )
    if AddOn.KEDA not in observed.add_ons:
        return Problem(
            "KEDANotInstalled",
            "spec.autoscaling.provider: the cluster has no ScaledObjects of keda.sh/v1alpha1, or the operator may not"
            " list them: the platform team installs KEDA and upgrades the operator's chart, or set provider: HPA;"
            f" {until}",
        )
    return None


def completed(rules: ScalingRules | None, default: ScalingRules) -> ScalingRules:
    """The rules of one direction, with the default of each field that is not set."""
    chosen = {name: value for name, value in rules or () if value is not None}
    return default.model_copy(update=chosen)
