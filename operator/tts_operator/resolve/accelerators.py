"""Accelerators of a pool's pods: extended resources in limits, or a device that each pod claims. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from tts_operator.api import TTSModel
from tts_operator.resolve.precision import accelerators, combined_resources

CUDA_RESOURCES = "nvidia.com/"
"""Beginning of the names of resources that are devices for CUDA: whole GPUs, MIG profiles, shared GPUs."""


def accelerator_count(model: TTSModel, precision: str, loaded: Sequence[str]) -> int:
    """Accelerators of one replica: those of the server and its sidecar, and the claimed one."""
    limits = {option.name.value: option.resources.limits for option in model.spec.precisions}
    own = accelerators(limits[precision], [limits[name] for name in loaded])
    sidecar = accelerators(model.spec.sidecar.resources.limits, []) if model.spec.sidecar is not None else 0
    return own + sidecar + (device_class(model) is not None)


def device_class(model: TTSModel) -> str | None:
    """DeviceClass of the device that each pod claims; None for extended resources."""
    return model.spec.accelerator.device_class_name if model.spec.accelerator is not None else None


def computes_with_cuda(model: TTSModel, precision: str, loaded: Iterable[str] = ()) -> bool:
    """Whether pods have a device for CUDA. Every device of a DeviceClass counts as one: its name says nothing."""
    return device_class(model) is not None or any(
        name.startswith(CUDA_RESOURCES) for name in server_limits(model, precision, loaded)
    )


def server_limits(model: TTSModel, precision: str, loaded: Iterable[str] = ()) -> Mapping[str, str]:
    """Limits of the server's container."""
    limits = {option.name.value: option.resources.limits for option in model.spec.precisions}
    return combined_resources(limits[precision], [limits[name] for name in loaded])
