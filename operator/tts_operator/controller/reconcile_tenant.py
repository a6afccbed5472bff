"""One reconcile of a tenant: observe -> resolve -> build -> plan -> apply -> report -> requeue."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.controller.apply import PlanExecutor
from tts_operator.controller.claims import Claims
from tts_operator.controller.converged_tenants import ConvergedTenants, Inputs
from tts_operator.controller.event_recorder import EventRecorder
from tts_operator.controller.pod_starts import PodStarts
from tts_operator.controller.report import report, report_deletion
from tts_operator.controller.secret_poller import SecretPoller
from tts_operator.controller.start_failures import StartFailures
from tts_operator.controller.store_access import StoreAccess
from tts_operator.controller.waker_link import WakerLink
from tts_operator.desired.build import Desired, build, pool_deployments
from tts_operator.informer.reader import LiveReader, Reader
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import RESOURCE_CLAIM_TEMPLATE, TENANT
from tts_operator.objects.manifest import Body, Ref
from tts_operator.observe.reader import observe, observe_accepted
from tts_operator.observe.sources import Sources
from tts_operator.plan.interference import InterferenceRecord
from tts_operator.plan.outcome import Outcome
from tts_operator.plan.plan import leftovers, plan
from tts_operator.plan.postponed import postponed
from tts_operator.resolve.hostname_table import HostnameTable
from tts_operator.resolve.resolve import resolve
from tts_operator.resolve.resolved import Resolved
from tts_operator.rollout.limiter import RolloutLimiter
from tts_operator.rollout.progress import RolloutProgress
from tts_operator.rollout.situation import Mode, mode_of
from tts_operator.scheduled_scaling.precompute import Requeue, next_requeue
from tts_operator.settings import Settings
from tts_operator.snapshot.observed import Observed
from tts_operator.status.claim import claimed_by
from tts_operator.status.events import interference_events
from tts_operator.status.tenant import status

RELEASE = "ttsfleet-system/tts-operator"
"""Name of a release that runs with the default flags: namespace and name of its Lease."""


class ReconcileFailed(Exception):  # noqa: N818 - names what happened
    """Some writes failed. The tenant's status says which; the queue retries with backoff."""

    def __init__(self, message: str, requeue: Requeue | None = None) -> None:
        """`requeue`: when to reconcile in any case, as for a success."""
        super().__init__(message)
        self.requeue = requeue


@dataclass(frozen=True)
class ReconcileContext:
    """Everything that reconciles share: the cluster, and the state that outlives one of them."""

    cluster: Cluster
    settings: Settings
    clock: Clock
    stores: StoreAccess = field(default_factory=StoreAccess.none)
    rollout_limiter: RolloutLimiter = field(default_factory=RolloutLimiter)
    start_failures: StartFailures = field(default_factory=StartFailures)
    secret_poller: SecretPoller = field(default_factory=SecretPoller)
    events: EventRecorder = field(default_factory=EventRecorder)
    interference: InterferenceRecord = field(default_factory=InterferenceRecord)
    release: str = RELEASE
    """Name of this release of the operator among all in the cluster: namespace and name of its Lease."""
    reader: Reader | None = None
    """Reader of everything but Secrets; None: every reading is a request."""
    converged: ConvergedTenants = field(default_factory=ConvergedTenants)
    hostnames: HostnameTable = field(default_factory=HostnameTable)
    outdated: set[Key] = field(default_factory=set)
    """Tenants of which the last reconcile may have read copies that were too old: the next one reads none."""

    reported: Callable[[Key, Body | None], None] = lambda _key, _status: None
    """Called with each tenant's status, for metrics; None once the tenant is gone or another release's."""

    @property
    def rollout_progress(self) -> RolloutProgress:
        """Record of what every pool runs."""
        return self.rollout_limiter.progress

    @cached_property
    def waker(self) -> WakerLink:
        """Connection of tenants with the waker."""
        return WakerLink(self.settings)

    @cached_property
    def pod_starts(self) -> PodStarts:
        """Starts of pods that the status of models does not have yet."""
        return PodStarts(self.release)

    @cached_property
    def claims(self) -> Claims:
        """Claims of this release."""
        return Claims(self.cluster, self.release)

    @cached_property
    def objects(self) -> Reader:
        """Reader of everything but Secrets."""
        return self.reader or LiveReader(self.cluster)

    async def sources(self, key: Key) -> Sources:
        """Dependencies of one reading of a tenant."""
        live = key in self.outdated
        self.outdated.discard(key)
        reader = await self.objects.for_reconcile(key, live=live)
        return Sources(self.cluster, self.settings, self.stores.files, reader=reader)

    async def still_exists(self, reading: Observed) -> bool:
        """Whether the tenant of a copy exists: children of one that is gone are collected, and would be made again.

        A watch may be blind without a sign of it. Raises ClusterError.
        """
        if reading.body is None or reading.deleting:
            return True
        live = await self.cluster.get(Ref.of(TENANT, *reading.key), metadata_only=True)
        metadata = {} if live is None else live["metadata"]
        return metadata.get("uid") == reading.uid and "deletionTimestamp" not in metadata

    def inputs(self, sources: Sources, key: Key) -> Inputs | None:
        """Digest of everything that a reconcile would read now; None if that cannot be told."""
        stamp = sources.objects.stamp(key)
        return Inputs(stamp, self.stores.files.changed_at()) if stamp is not None else None

    def record(self, observed: Observed) -> None:
        """Update the shared state with a reading."""
        self.rollout_limiter.record_tenant(observed)
        self.rollout_progress.record_tenant(observed)
        self.start_failures.record(observed)
        self.pod_starts.record(observed)
        self.secret_poller.record(observed)

    def forget(self, observed: Observed) -> None:
        """Drop the shared state of a tenant that is being deleted."""
        self.reported(observed.key, None)
        self.claims.forget(observed)
        self.waker.forget(observed.key)
        self.hostnames.release(observed.key)
        self.converged.forget(observed.key)
        self.interference.forget(observed.key)
        self.start_failures.forget(observed.key)
        self.pod_starts.forget(observed.key)
        self.rollout_limiter.leave_queue(observed.key)
        self.stores.departed(observed)


async def reconcile(key: Key, context: ReconcileContext) -> Requeue | None:
    """Converge one tenant. Returns when to requeue it even without an event; None for never.

    Raises ReconcileFailed after reporting, and ClusterError where nothing can be reported.
    """
    clock, limiter, stores = context.clock, context.rollout_limiter, context.stores
    sources = await context.sources(key)
    inputs = context.inputs(sources, key)
    if (before := context.converged.find(key, inputs, clock.now())) is not None:
        return before.requeue
    context.converged.forget(key)
    reading = await observe(sources, key, clock.now(), unmounted=not stores.is_settled(key))
    if reading.deleting:
        context.record(reading)
        context.forget(reading)
        own = reading.body is not None and claimed_by(reading.body) == context.release
        await report_deletion(context.cluster, reading, clock.now(), context.events, own=own)
        return None  # owner references delete the children
    observed = await context.claims.hold(reading, clock.now())
    if observed is None:  # the tenant of another release
        limiter.leave_queue(key)  # it may have been queued here before it moved
        context.waker.forget(key)
        context.hostnames.release(key)
        context.reported(key, None)
        return None
    observed, resolved = await resolve_or_keep(observed, sources, context)
    resolved = context.hostnames.admit(resolved)
    context.record(observed)
    deployments = pool_deployments(resolved)
    changes = {pool: each.change for pool, each in deployments.items() if each.change}
    canaries = {pool: each.canary for pool, each in deployments.items() if each.canary is not None}
    waits = limiter.admit(key, changes, rollout_modes(resolved), canaries)
    executor = PlanExecutor(context.cluster, observed)
    try:
        resolved = resolved.waiting(waits, changes)
        desired = build(resolved, deployments)  # None where no spec can be followed: the last good children stay
        actions = plan(desired, observed)
        admitted = context.interference.admit(actions, observed, clock.now())
        if actions and inputs is not None and not await context.still_exists(observed):
            context.outdated.add(key)
            return Requeue(clock.now())
        stores.before_apply(key)
        outcome = await executor.run(admitted.actions)
    finally:  # even if leadership ends midway: what was applied counts as rolling
        limiter.mark_applied(key, changes.keys() - waits.keys(), executor.outcome.deployments)
    outcome = await stores.after_apply(resolved, outcome)
    now = clock.now()
    outcome = with_leftovers(context.interference.record(admitted, observed, outcome, now), desired, observed)
    after, repeated = status(resolved, observed, outcome), interference_events(outcome)
    reported = await report(context.cluster, observed, after, now, context.events, repeated=repeated)
    context.reported(key, after)
    if outcome.stale or outcome.failures:
        context.outdated.add(key)
    coming = requeue(outcome, earliest(next_requeue(resolved), outcome.requeue_at), clock)
    unwatched = sources.secrets.refused or any(ref.kind == RESOURCE_CLAIM_TEMPLATE.name for ref in observed.children)
    if not (actions or waits or changes or reported or unwatched or outcome.interference):
        context.converged.record(key, inputs, coming, now)
    return coming


async def resolve_or_keep(reading: Observed, sources: Sources, context: ReconcileContext) -> tuple[Observed, Resolved]:
    """Resolve the spec or, where it is refused, the last accepted one, with the reading that belongs to it."""
    clock, settings = context.clock, context.settings
    observed = context.waker.connect(reading)
    resolved = resolve(observed, settings, clock.now())
    if resolved.refused is None:
        return observed, resolved
    unmounted = not context.stores.is_settled(observed.key)
    accepted = await observe_accepted(sources, observed, resolved.refused, clock.now(), unmounted=unmounted)
    if accepted is None:
        return observed, resolved
    accepted = context.waker.connect(accepted)
    return accepted, resolve(accepted, settings, clock.now())


def with_leftovers(outcome: Outcome, desired: Desired | None, observed: Observed) -> Outcome:
    """The outcome, with children that others hold or that are replaced later among its interference."""
    if desired is None:
        return outcome
    others = (*leftovers(desired, observed), *postponed(desired, observed))
    return replace(outcome, interference=(*outcome.interference, *others))


def rollout_modes(resolved: Resolved) -> dict[str, Mode]:
    """Rollout mode of each pool, which is that of its model."""
    return {pool.name: mode_of(pool.model.metadata.annotations) for pool in resolved.pools if pool.model is not None}


def earliest(scheduled: Requeue | None, at: datetime | None) -> Requeue | None:
    """The scheduled requeue, or an earlier one at this time, after which the schedule is looked at again."""
    if at is None or (scheduled is not None and scheduled.at <= at):
        return scheduled
    return Requeue(at)


def requeue(outcome: Outcome, scheduled: Requeue | None, clock: Clock) -> Requeue | None:
    """When to reconcile next: at once after a stale write, else as scheduled. Raises ReconcileFailed."""
    if outcome.failures:
        failed = "; ".join(f"{ref}: {problem.reason}" for ref, problem in outcome.failures.items())
        raise ReconcileFailed(failed, scheduled)
    return Requeue(clock.now()) if outcome.stale else scheduled
