"""What the operator reports."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tts_operator.api.base import LenientModel, list_map

Text = Annotated[str, StringConstraints(max_length=512)]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"}), StringConstraints(max_length=64)]


class Condition(LenientModel):
    """One thing that is so or not, as Kubernetes writes it."""

    type: Annotated[str, StringConstraints(max_length=316)]
    """Name of the condition."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    observed_generation: int | None = None
    """Generation of the spec that this was said of."""
    last_transition_time: Instant
    """When status last changed."""
    reason: Annotated[str, StringConstraints(max_length=1024)]
    """Why, in one word, for programs."""
    message: Annotated[str, StringConstraints(max_length=32_768)]
    """Why, and what to do, for people."""


class NextTransition(LenientModel):
    """The schedule's next change."""

    time: Instant
    """When, in UTC."""
    window: Text
    """Name of the window that opens."""
    min_replicas: int
    """Its minimum."""
    max_replicas: int
    """Its maximum."""


class PoolStatus(LenientModel):
    """One Deployment of the tenant."""

    model: Text
    """The TTSModel it speaks."""
    role: Literal["Entry", "Member", "Fallback"]
    """Entry: the tenant's Service leads here. Fallback: a model that the tenant does not list, but needs."""
    precision: Text
    """Effective precision."""
    min: int
    """Replicas at least."""
    max: int
    """Replicas at most."""
    desired: int
    """Replicas asked for now."""
    ready: int
    """Replicas that answer."""
    reason: Text | None = None
    """Why some do not."""


class Cost(LenientModel):
    """Prices as decimal strings."""

    hourly: Text
    """Of the replicas asked for now."""
    monthly: Text
    """By the calendar."""
    unscheduled_monthly: Text
    """Were the highest minimum kept all month."""


class TTSTenantStatus(LenientModel):
    """What became of the spec."""

    observed_generation: int | None = None
    """Generation of the spec that this status is about."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), list_map("type")] = ()
    """Accepted, ModelsResolved, Programmed, Available, ScalingActive, StorageConfigured, perhaps RedisConfigured.

    Ready sums up.
    """
    active_window: Text | None = None
    """Name of the schedule's window that holds now."""
    next_transition: NextTransition | None = None
    """The schedule's next change."""
    pools: Annotated[tuple[PoolStatus, ...], Field(max_length=64), list_map("model")] = ()
    """One Deployment for each model."""
    replicas: Text | None = None
    """Ready of desired replicas of all pools, for people."""
    model: Text | None = None
    """The default model."""
    precision: Text | None = None
    """Effective precision of the default model."""
    precision_reason: Text | None = None
    """Why it is that one."""
    url: Annotated[str, StringConstraints(max_length=512)] | None = None
    """Address of the tenant's endpoint in the cluster."""
    cost: Cost | None = None
    """What it costs. Not told yet: nothing sets it in this version."""


class TTSModelStatus(LenientModel):
    """What the operator says of the model."""

    observed_generation: int | None = None
    """Generation of the spec that this status is about."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), list_map("type")] = ()
    """Accepted: it can be served. FallbackResolved: so can its fallback. Ready: both, and no change of it is halted."""
    tenants: int | None = None
    """How many tenants use it."""
