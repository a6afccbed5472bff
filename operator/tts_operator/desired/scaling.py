"""Parts that a HorizontalPodAutoscaler and a ScaledObject have in common."""

from typing import Any

from tts_operator.api import Metric
from tts_operator.resolve.precision import accelerators
from tts_operator.resolve.resolved import Pool, Resolved


def scale_target(pool: Pool) -> dict[str, str]:
    """Reference to the pool's Deployment."""
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": pool.name}


def targets(resolved: Resolved, pool: Pool) -> tuple[Metric, ...]:
    """Metrics that the pool's autoscaler targets."""
    return resolved.autoscaler.targets(accelerator=has_accelerator(pool))


def has_accelerator(pool: Pool) -> bool:
    """Whether the pool's pods have an extended resource, such as a GPU."""
    if pool.model is None or pool.precision is None:
        return False
    limits = {option.name.value: option.resources.limits for option in pool.model.spec.precisions}
    sidecar = pool.model.spec.sidecar.resources.limits if pool.model.spec.sidecar is not None else {}
    return (
        accelerators(limits[pool.precision.name], [limits[name] for name in pool.loaded]) + accelerators(sidecar, [])
        > 0
    )


def behavior(resolved: Resolved) -> dict[str, Any]:
    """`behavior` of an HPA, with every field: KEDA compares it with what the API server has stored."""
    return resolved.autoscaler.behavior.model_dump(mode="json", by_alias=True)
