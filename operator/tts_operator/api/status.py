"""Status of the two resources, as the operator reports it."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tts_operator.api.base import LenientModel, atomic, list_map

MAX_SPEC_CHARACTERS = 262_144
"""Most characters of a spec that is kept in the status: a larger one is not followed while a later one is refused."""

MAX_STARTS = 20
"""Most starts of pods that are kept of a release: the P95 of so many is the second longest."""

Text = Annotated[str, StringConstraints(max_length=512)]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"}), StringConstraints(max_length=64)]


class Condition(LenientModel):
    """Standard Kubernetes condition."""

    type: Annotated[str, StringConstraints(max_length=316)]
    """Type of the condition, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    observed_generation: int | None = None
    """`metadata.generation` for which the condition was set."""
    last_transition_time: Instant
    """Time of the last change of `status`."""
    reason: Annotated[str, StringConstraints(max_length=1024)]
    """Reason for the status: one CamelCase word, for programs."""
    message: Annotated[str, StringConstraints(max_length=32_768)]
    """Details, and what to do, for people."""


class NextTransition(LenientModel):
    """Next change of the replica bounds by the schedule."""

    time: Instant
    """Time of the change, in UTC."""
    window: Text
    """Name of the window that becomes active."""
    min_replicas: int
    """Minimum number of replicas in that window."""
    max_replicas: int
    """Maximum number of replicas in that window."""


class PoolStatus(LenientModel):
    """Observed state of one pool: the Deployment that serves one model."""

    model: Text
    """Name of the TTSModel that the pool serves."""
    role: Literal["Entry", "Member", "Fallback"]
    """Entry receives the tenant's requests; Member serves another listed model; Fallback serves one not listed."""
    precision: Text
    """Effective precision of the pool."""
    min: int
    """Minimum number of replicas now."""
    max: int
    """Maximum number of replicas now."""
    desired: int
    """Desired replicas: `spec.replicas` of the Deployment."""
    ready: int
    """Replicas that are ready."""
    reason: Text | None = None
    """Why pods do not run, such as ImagePullBackOff. Unset if all run."""
    download_expiry_time: Instant | None = None
    """Time until which pods can download the model's files: their presigned URLs expire then. The operator signs new
    ones half a week before. Set only for models with files in an object store."""


class Cost(LenientModel):
    """Cost of the endpoint, as decimal strings in the currency of the models' `hourlyCost`."""

    hourly: Text
    """Hourly cost of the currently desired replicas."""
    monthly: Text
    """Cost of this calendar month at the minimum replicas of its schedule, in the schedule's time zone, without an
    override."""
    unscheduled_monthly: Text
    """Cost of this calendar month at the highest minimum in it, as if nothing ever scaled down, for comparison."""


class WakerStatus(LenientModel):
    """Part of the waker in this tenant: it answers requests while the schedule has no replicas."""

    port: int
    """Port of the waker that belongs to this tenant alone."""
    at_zero: bool = False
    """Whether the schedule has no replicas now."""
    wakes_at: Instant | None = None
    """Time at which the schedule has replicas again, in UTC. Unset if it has some, or never will."""
    time_zone: Annotated[str, StringConstraints(max_length=64)] = "UTC"
    """Time zone of the schedule, in which the waker's answers give the time, too."""
    wake_on_request: bool = False
    """Whether a request starts a replica."""
    max_wait_seconds: int = 60
    """Longest time for which a request is held."""


class WakeRequest(LenientModel):
    """Request for a replica, which the waker writes, and nobody else."""

    requested_at: Instant
    """Time of the request. The replica runs for `spec.schedule.wakeSeconds` from then on."""


class TTSTenantStatus(LenientModel):
    """Observed state of the TTSTenant."""

    observed_generation: int | None = None
    """`metadata.generation` that the status describes."""
    running_generation: int | None = None
    """Last `metadata.generation` of which every pod ran the spec. While it is smaller than `observedGeneration`, a
    change is not rolled out to every pod yet, or cannot be."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), list_map("type")] = ()
    """Accepted, ModelsResolved, Programmed, Available, ScalingActive, StorageConfigured, RedisConfigured,
    KeysConfigured, Exposed, CalendarsResolved and Ready.

    Ready summarizes the first four; a suspended tenant is ready, and not available. RedisConfigured is set only where
    Redis is used, KeysConfigured where callers need API keys, Exposed with `spec.exposure`, CalendarsResolved where the
    schedule refers to TTSCalendars. Progressing is True while pods are brought to the present spec, and False with the
    reason Complete once all of them run it. Present only while True: Suspended, and for tools that use kstatus
    Reconciling and Stalled. SingleRelease is set only where another release of the operator watches the namespace too.
    """
    release: Text | None = None
    """Release of the operator that the tenant belongs to: namespace and name of its Lease. Others stay away."""
    accepted_spec: Annotated[str, StringConstraints(max_length=MAX_SPEC_CHARACTERS)] | None = None
    """Last accepted `spec`, as JSON. While a later one is refused, the operator follows this one."""
    active_window: Text | None = None
    """Name of the schedule's active window."""
    next_transition: NextTransition | None = None
    """Next change of the replica bounds by the schedule."""
    waker: WakerStatus | None = None
    """Facts for the waker of the operator's chart, which answers at zero. Set only where the schedule has a zero."""
    wake: WakeRequest | None = None
    """Last request that started a replica at zero."""
    pre_warm_seconds: int | None = None
    """Time before a window with a higher minimum at which the minimum is raised. Set only with a schedule."""
    time_zone_database: Text | None = None
    """Release of the IANA time zone database by which the schedule is evaluated, such as 2026f."""
    pools: Annotated[tuple[PoolStatus, ...], Field(max_length=64), list_map("model")] = ()
    """Observed state of the pools: one Deployment for each model."""
    replicas: Text | None = None
    """Ready and desired replicas of all pools, such as 3/3."""
    model: Text | None = None
    """Default model: the first entry of `spec.models`."""
    precision: Text | None = None
    """Effective precision of the default model."""
    precision_reason: Text | None = None
    """Why this precision is used."""
    url: Annotated[str, StringConstraints(max_length=512)] | None = None
    """URL of the tenant's endpoint inside the cluster."""
    public_url: Annotated[str | None, Field(alias="publicURL"), StringConstraints(max_length=512)] = None
    """URL of the tenant's endpoint outside the cluster. Condition Exposed says whether it works. Set only with
    `spec.exposure`."""
    hostname: Annotated[str, StringConstraints(max_length=253)] | None = None
    """Host name that the tenant holds: no other tenant gets a route for it. Set only with `spec.exposure`."""
    cost: Cost | None = None
    """Cost of the endpoint. Unset where a model has no price: neither its own nor those of the operator's settings."""


class CanaryStatus(LenientModel):
    """Progress of the model's last change with the tenants that take it first."""

    tenants: int
    """Number of tenants that take it first, by `spec.rollout.canaryPercent`."""
    updated_tenants: int
    """Number of these whose pods run it and are available."""
    failed_tenants: int
    """Number of tenants that it fails for. No further tenant takes it while there is one."""
    soaks_until: Instant | None = None
    """Time from which the other tenants take it. Unset while not all of the first run it."""


class ReleaseStatus(LenientModel):
    """Report of one release of the operator on a model."""

    name: Text
    """Namespace and name of the release's Lease."""
    observed_generation: int | None = None
    """`metadata.generation` that the report describes. One about an earlier generation does not count."""
    tenants: int
    """Number of the release's tenants that use the model."""
    updated_tenants: int | None = None
    """Number of these tenants whose pods run the model's last change, or that have none."""
    start_seconds: Annotated[tuple[int, ...], Field(max_length=MAX_STARTS), atomic()] = ()
    """Time from a node to the first readiness of the last pods that started, oldest first."""
    last_start_time: Instant | None = None
    """Time at which the last of them became ready."""
    canary: CanaryStatus | None = None
    """Progress with the release's tenants that take the last change first. Unset once all tenants run it."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), list_map("type")] = ()
    """Conditions as the release found them."""


class TTSModelStatus(LenientModel):
    """Observed state of the TTSModel."""

    observed_generation: int | None = None
    """`metadata.generation` that the status describes."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), list_map("type")] = ()
    """Accepted: tenants can use the model. FallbackResolved: its fallbacks can be used, too. Servable: no pod of its
    tenants fails to start because of the model.

    RolledOut: all of its tenants run the last change of the model. Ready summarizes the first two; it is also
    False while failures pause the rollout of a change of the model, and while pods start for none of its tenants.
    """
    tenants: int | None = None
    """Number of tenants that use the model, of all releases of the operator."""
    updated_tenants: int | None = None
    """Number of these tenants whose pods run the model's last change, or that have none."""
    load_seconds: int | None = None
    """Measured load time: the P95 of the last starts of pods, from a node to their readiness, rounded up. Unset before
    the first one."""
    canary: CanaryStatus | None = None
    """Progress with the tenants that take the last change first, of all releases. Unset once all tenants run it."""
    releases: Annotated[tuple[ReleaseStatus, ...], Field(max_length=64), list_map("name")] = ()
    """Reports of the releases of the operator, usually one. Each condition of the model is that of the first report in
    which it is False, else that of the first report."""
