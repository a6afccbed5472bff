"""Accelerators of a model's pods: which nodes have them, and how many processes share one."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tts_operator.api.base import APIModel, ObjectName, atomic


class Toleration(APIModel):
    """Toleration of a node taint, as in a pod."""

    key: Annotated[str, StringConstraints(max_length=317)] | None = None
    """Key of the taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Exists matches any value of the taint, Equal only `value`."""
    value: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Default: all effects."""
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """Time that a pod stays on a node with a NoExecute taint. Default: no limit."""


class Accelerator(APIModel):
    """Placement of pods with an accelerator. The device itself is an extended resource in `precisions[].resources`,
    such as `nvidia.com/gpu`, `nvidia.com/mig-1g.10gb` or `nvidia.com/gpu.shared`, or one of `deviceClassName`.

    Pods of a precision without a device have none of it.
    """

    node_selector: Annotated[dict[str, Annotated[str, StringConstraints(max_length=63)]], Field(max_length=16)] = {}
    """Labels that nodes must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16), atomic()] = ()
    """Node taints that pods tolerate."""
    device_class_name: ObjectName | None = None
    """Name of a DeviceClass: each pod claims one of its devices by dynamic resource allocation, instead of an extended
    resource. It needs Kubernetes 1.34 or newer."""
    engine_processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Engine processes of a pod with an accelerator. They share it, and each loads the model into its memory."""
