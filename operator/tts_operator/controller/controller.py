"""Runs on the leader: workers, the periodic resync, and the schedules' timers."""

import asyncio
import contextlib
import functools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import structlog

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import ClusterError, Forbidden, Overloaded
from tts_operator.controller.fair_lanes import Lane
from tts_operator.controller.model_index import Fallbacks, ModelIndex, named_fallback, named_models
from tts_operator.controller.namespace_access import NamespaceAccess
from tts_operator.controller.reconcile_model import ModelUse, reconcile_model
from tts_operator.controller.reconcile_tenant import RELEASE, ReconcileContext, ReconcileFailed, reconcile
from tts_operator.controller.store_access import StoreAccess
from tts_operator.controller.waker_link import recorded_port
from tts_operator.controller.workqueue import Backoff, Closed, WorkQueue
from tts_operator.informer.reader import LiveReader, Reader
from tts_operator.objects.keys import Key, model_key
from tts_operator.objects.kinds import DEPLOYMENT, MODEL, TENANT, Kind
from tts_operator.objects.manifest import Body
from tts_operator.objects.problem import Problem
from tts_operator.observe.reader import tenant_ref
from tts_operator.rollout.canary import CanaryState
from tts_operator.rollout.limiter import RolloutLimiter
from tts_operator.rollout.policy import changed, model_of, pool_key
from tts_operator.rollout.situation import Limits
from tts_operator.scheduled_scaling.precompute import Requeue
from tts_operator.scheduled_scaling.scheduler import Timetable
from tts_operator.settings import Settings
from tts_operator.status.claim import claimed_by
from tts_operator.status.policies import SCALED_TO_ZERO, SUSPENDED
from tts_operator.telemetry.metrics import Metrics

log = structlog.get_logger()

CHILD_DELAY_SECONDS = 0.1
"""Delay after a child's event: children change in bursts, which one reconcile handles."""
PROGRESS_DELAY_SECONDS = 1.0
"""Delay after a tenant took a model's change, until the model reports it: many tenants take it at once."""
ROLLOUT_CHECK_SECONDS = 10.0
"""Interval at which rollouts are checked for the deadline of their place, seconds."""
RELIST_SECONDS = 2.0
"""Interval of attempts at the initial sync while the API server is unreachable, seconds."""


@dataclass(frozen=True)
class ControllerOptions:
    """Concurrency, resync interval and scope."""

    workers: int = 8
    resync_seconds: float = 600.0
    """Interval of full lists, seconds. They repair what a missed event lost."""
    namespaces: tuple[str, ...] = ()
    """Namespaces with tenants; empty: all."""
    rollout: Limits = field(default_factory=Limits)
    release: str = RELEASE
    """Name of this release of the operator among all in the cluster: namespace and name of its Lease."""


class Controller:
    """Turns events into reconciles: each event only enqueues a key."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        options: ControllerOptions,
        *,
        stores: StoreAccess | None = None,
        access: NamespaceAccess | None = None,
        reader: Reader | None = None,
    ) -> None:
        """`reader` reads everything but Secrets; None: every reading is a request."""
        self._cluster = cluster
        self._reader = reader or LiveReader(cluster)
        self._clock = clock
        self._metrics = metrics
        self._options = options
        limiter = RolloutLimiter(options.rollout, clock)
        self._access = access or NamespaceAccess(options.namespaces)
        self._context = ReconcileContext(
            cluster,
            settings,
            clock,
            stores or StoreAccess.none(),
            limiter,
            release=options.release,
            reader=self._reader,
            reported=lambda key, status: metrics.bill(*key, status),
        )
        self._queue = WorkQueue[Key](
            Backoff(first_seconds=0.5, longest_seconds=60.0), lambda key: key.namespace, self._waited
        )
        self._timetable = Timetable(cluster, clock, metrics.schedule_lag.observe, self._reader.schedule_stamp)
        self._halted: dict[str, Problem] = {}  # by change: why no further tenant starts it
        self._failing: dict[str, str] = {}  # by model: the tenants that its changes fail for
        self._canaries: dict[str, CanaryState] = {}  # by model: how far its change is with the first tenants
        self._model_index = ModelIndex()
        self._fallbacks = Fallbacks()
        self._stopping = False
        self._working = False
        self._resync_requested = asyncio.Event()
        # A standby's queue only collects what it would reconcile if it led: nobody waits for that.
        metrics.queue_depth.set_function(lambda: len(self._queue) if self._working else 0)
        for lane in Lane:
            depth = functools.partial(self._depth, lane)
            metrics.lane_depth.labels(lane.name.lower()).set_function(depth)
        metrics.waiting.set_function(lambda: self._context.rollout_limiter.waiting)
        metrics.queue_wait.set_function(lambda: self._queue.oldest_wait_seconds() if self._working else 0)

    def _waited(self, lane: Lane, seconds: float) -> None:
        self._metrics.lane_wait.labels(lane.name.lower()).observe(seconds)

    def _depth(self, lane: Lane) -> int:
        return self._queue.depth(lane) if self._working else 0

    def tenant_changed(self, key: Key, models: Iterable[str]) -> None:
        """Handle the event of a tenant that references these models now."""
        self._timetable.changed(key)
        self._queue.add(key)
        for model in self._model_index.record(key, models):
            self._queue.add(model_key(model))

    def model_changed(self, name: str, fallback: str | None) -> None:
        """Handle the event of a model that falls back to this one now."""
        self._fallbacks.record(name, fallback)
        affected = [name, *sorted(self._fallbacks.dependents(name))]
        for model in affected:
            self._queue.add(model_key(model))
        for key in sorted({key for model in affected for key in self._model_index.tenants(model)}):
            self._timetable.changed(key)
            self._queue.add(key)

    def namespace_changed(self, name: str) -> None:
        """Handle the event of a namespace with other labels: they limit its tenants, and models allow it by them."""
        for key in self._model_index.within(name):
            self._timetable.changed(key)
            self._queue.add(key)

    def schedule_changed(self, key: Key) -> None:
        """Handle the event of a TTSCalendar that the schedule of this tenant refers to."""
        self._timetable.changed(key)
        self._queue.add(key)

    def child_changed(self, key: Key) -> None:
        """Handle the event of a child or pod of this tenant."""
        self._queue.add_after(key, CHILD_DELAY_SECONDS)

    def deployment_changed(self, deployment: Body, *, gone: bool) -> None:
        """Handle the event of a pool's Deployment: its rollout may have finished."""
        self._context.rollout_limiter.record(deployment, gone=gone)
        self._context.rollout_progress.record(deployment, gone=gone)
        self._requeue_waiting()

    def status_changed(self, key: Key) -> None:
        """Handle the event of a tenant or a model whose status alone changed.

        While its reconcile fails the operator itself wrote the status, perhaps another message each time: to enqueue it
        then would defeat the backoff.
        """
        if not self._queue.failing(key):
            self._queue.add_after(key, CHILD_DELAY_SECONDS)

    def resync(self) -> None:
        """List everything soon: events were missed."""
        self._resync_requested.set()

    def stop(self) -> None:
        """Start no more reconciles; `work` returns when the running ones have ended."""
        self._stopping = True
        self._queue.close()

    async def work(self) -> None:
        """Reconcile everything once, then whatever changes, until `stop`. An error in any part ends all of it."""
        self._working = True
        try:
            await self._work()
        finally:
            self._working = False

    async def _work(self) -> None:
        self._timetable = Timetable(
            self._cluster, self._clock, self._metrics.schedule_lag.observe, self._reader.schedule_stamp
        )
        self._context.converged.clear()
        self._context.pod_starts.clear()
        self._resync_requested.clear()
        await self._initial_sync()
        parts = [
            self._resync(),
            self._timetable.run(self._transition_due),
            self._check_rollouts(),
            self._context.secret_poller.run(self._cluster, self._reconcile_in_full),
            self._context.waker.run(self._cluster, self._reconcile_in_full),
        ]
        if (users := self._context.stores.users) is not None:
            parts.append(users.run(self._reconcile_in_full, self._has_no_user))
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(part) for part in parts]
            await asyncio.wait([group.create_task(self._worker()) for _ in range(self._options.workers)])
            for task in background:
                task.cancel()

    def _transition_due(self, key: Key) -> None:
        self._queue.add(key, Lane.TRANSITION)

    def _reconcile_in_full(self, key: Key) -> None:
        """Enqueue a tenant for a change that no watch delivers."""
        self._context.converged.forget(key)
        self._queue.add(key)

    async def _worker(self) -> None:
        with contextlib.suppress(Closed):
            while True:
                key = await self._queue.get()
                try:
                    await self._timetable.wait_idle()
                    await self._process(key)
                finally:
                    self._queue.done(key)

    async def _process(self, key: Key) -> None:
        """Reconcile one key, and requeue it as the result requires."""
        kind = "tenant" if key.namespace else "model"
        started = self._clock.monotonic()
        result = "error"
        stamp = self._reader.schedule_stamp(key) if key.namespace else None
        try:
            requeue = await self._reconcile(key)
        except ReconcileFailed as error:
            self._context.outdated.add(key)
            self._timetable.set(key, error.requeue, stamp)
            self._queue.retry(key)  # each failed write has been logged
        except ClusterError as error:
            log.warning("reconcile failed", kind=kind, key=str(key), error=str(error))
            self._context.outdated.add(key)
            self._queue.retry(key, error.retry_after_seconds if isinstance(error, Overloaded) else 0.0)
        except Exception:
            log.exception("reconcile crashed", kind=kind, key=str(key))
            self._context.outdated.add(key)
            self._queue.retry(key)
        else:
            result = "success"
            self._queue.forget(key)
            self._timetable.set(key, requeue, stamp)
            self._timetable.reconciled(key)
        self._metrics.reconciles.labels(kind, result).inc()
        self._metrics.duration.labels(kind).observe(self._clock.monotonic() - started)

    async def _reconcile(self, key: Key) -> Requeue | None:
        if key.namespace and not self._access.may_read(key.namespace):
            return None  # the list that follows its return enqueues the tenant again
        claims = self._context.claims
        if key.namespace:
            elsewhere = key in claims.elsewhere
            requeue = await reconcile(key, self._context)
            self._requeue_waiting()
            if elsewhere != (key in claims.elsewhere):  # its models have another number of tenants
                for name in self._model_index.models(key):
                    self._queue.add(model_key(name))
            return requeue
        await reconcile_model(key.name, self._cluster, self._reader, self._use_of(key.name), self._clock)
        return None

    def _use_of(self, model: str) -> ModelUse:
        limiter, progress = self._context.rollout_limiter, self._context.rollout_progress
        starts, tenants = (
            self._context.start_failures,
            self._model_index.tenants(model) - self._context.claims.elsewhere,
        )
        return ModelUse(
            self._context.release,
            tenants,
            outdated=lambda digest: progress.outdated(model, digest),
            canary_state=limiter.canary_state,
            blocked=limiter.blocked().get(model),
            failing=self._failing.get(model, ""),
            start_failures=starts.of(model, tenants),
            unread=starts.unread(tenants),
            pod_starts=self._context.pod_starts,
        )

    async def _has_no_user(self, uid: str, key: Key) -> bool:
        """Whether the tenant of this UID needs no user in the operator's Redis. Raises ClusterError."""
        body = await self._cluster.get(tenant_ref(key))
        return body is None or body["metadata"]["uid"] != uid or bool((body.get("spec") or {}).get("redis"))

    def _requeue_waiting(self, *, again: bool = False) -> None:
        """Enqueue tenants whose queued rollout may start, and models whose rollout went on, was paused or resumed."""
        for key in self._context.rollout_limiter.next_requeue(again=again):
            self._queue.add_after(key, 0)
        before, self._halted = self._halted, self._context.rollout_limiter.halted()
        failing, self._failing = self._failing, self._context.rollout_limiter.failing()
        states, self._canaries = self._canaries, self._context.rollout_limiter.canaries()
        for model in states.keys() | self._canaries.keys():
            if states.get(model) != self._canaries.get(model):
                self._queue.add_after(model_key(model), PROGRESS_DELAY_SECONDS)
        for model, _ in failing.items() ^ self._failing.items():
            self._queue.add_after(model_key(model), PROGRESS_DELAY_SECONDS)
        for change in before.keys() ^ self._halted.keys():
            if problem := self._halted.get(change):  # the only place that names the tenants of an operator's change
                log.warning("rollout paused", change=changed(change), message=problem.message)
            if (halted_model := model_of(change)) is not None:
                self._queue.add(model_key(halted_model))
        for model in changed_models(self._context):
            self._queue.add_after(model_key(model), PROGRESS_DELAY_SECONDS)

    async def _check_rollouts(self) -> None:
        """Give back the places of rollouts that take too long, without an event."""
        while True:
            await asyncio.sleep(ROLLOUT_CHECK_SECONDS)
            self._requeue_waiting(again=True)

    async def _resync(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.resync_seconds):
                    await self._resync_requested.wait()
            self._resync_requested.clear()
            try:
                listed = await self._list(spread_seconds=self._options.resync_seconds / 2)
            except ClusterError as error:
                log.warning("resync failed", error=str(error))
            except Exception:  # the next resync repairs what this one did not
                log.exception("resync crashed")
            else:
                log.debug("resync complete", **listed)

    async def _initial_sync(self) -> None:
        while not self._stopping:
            try:
                self._context.hostnames.clear()
                await self._context.waker.begin_term(self._cluster)
                listed = await self._list(spread_seconds=0)
            except ClusterError as error:
                log.warning("initial sync failed", error=str(error))
                await asyncio.sleep(RELIST_SECONDS)
            else:
                log.info("initial sync complete", **listed)
                return

    async def _list(self, spread_seconds: float) -> dict[str, int]:
        """List everything, and enqueue it spread over this many seconds. Returns counts for the log."""
        tenants: dict[Key, frozenset[str]] = {}
        conditions: Counter[tuple[str, str]] = Counter()
        hourly_costs: defaultdict[str, float] = defaultdict(float)
        billed: list[tuple[str, str]] = []
        self._model_index.list_started()
        self._fallbacks.list_started()
        waker_ports: list[Body] = []
        hostnames: list[tuple[str, Key, str, str]] = []
        async for body in self._list_scopes(TENANT):
            if recorded_port(body) is not None and claimed_by(body) == self._options.release:
                waker_ports.append({"metadata": body["metadata"], "status": {"waker": body["status"]["waker"]}})
            if (hostname := (body.get("status") or {}).get("hostname")) and claimed_by(body) == self._options.release:
                metadata = body["metadata"]
                key = Key(metadata["namespace"], metadata["name"])
                hostnames.append((metadata.get("creationTimestamp", ""), key, metadata["uid"], hostname))
            tenants[Key(body["metadata"]["namespace"], body["metadata"]["name"])] = named_models(body)
            conditions.update(_conditions(body))
            if (hourly_cost := _hourly_cost(body)) is not None:
                hourly_costs[body["metadata"]["namespace"]] += hourly_cost
            if claimed_by(body) == self._options.release:
                billed.append((body["metadata"]["namespace"], body["metadata"]["name"]))
                self._metrics.bill(*billed[-1], body.get("status") or {})
        self._context.waker.listed(waker_ports)
        for _, key, uid, hostname in sorted(hostnames):  # of two with one name, as after a restore, the older has it
            self._context.hostnames.restore(key, uid, hostname)
        await self._list_deployments()
        models = {body["metadata"]["name"]: named_fallback(body) async for body in self._reader.all(MODEL)}
        self._model_index.replace(tenants)
        self._fallbacks.replace({name: to for name, to in models.items() if to is not None})
        if (users := self._context.stores.users) is not None:
            users.listed(tenants.keys())
        keys = [*tenants, *map(model_key, models)]
        for position, key in enumerate(keys):
            self._queue.add_after(key, spread_seconds * position / len(keys), Lane.RESYNC)
        self._metrics.tenants(conditions)
        self._metrics.costs(hourly_costs)
        self._metrics.bill_only(billed)
        self._metrics.last_repair.set(self._clock.now().timestamp())
        return {"tenants": len(tenants), "models": len(models)}

    async def _list_deployments(self) -> None:
        """Record every active rollout before any other is admitted: the previous leader may have admitted some."""
        existing = set()
        async for body in self._list_scopes(DEPLOYMENT):
            self._context.rollout_limiter.record(body)
            self._context.rollout_progress.record(body)
            existing.add(pool_key(body))
        self._context.rollout_limiter.retain(existing)
        self._context.rollout_progress.retain(existing)

    async def _list_scopes(self, kind: Kind) -> AsyncIterator[Body]:
        """List a kind in every namespace that the operator may read. Raises ClusterError."""
        for namespace in self._access.listed():
            try:
                async for body in self._reader.all(kind, namespace):
                    yield body
            except Forbidden as error:
                if not namespace:
                    raise
                self._access.refused(namespace, error)


def changed_models(context: ReconcileContext) -> frozenset[str]:
    """Models whose status has something new to tell since the last call."""
    sources = (context.rollout_progress, context.start_failures, context.pod_starts)
    return frozenset().union(*(source.changed_models() for source in sources))


def _hourly_cost(tenant: Body) -> float | None:
    """The last reported cost, for the metric; None without a price."""
    cost = (tenant.get("status") or {}).get("cost")
    return float(cost["hourly"]) if cost else None


def _conditions(tenant: Body) -> list[tuple[str, str]]:
    """Type and status of each condition, for the metric. What is False because of a suspension is no failure."""
    conditions = (tenant.get("status") or {}).get("conditions") or ()
    return [
        (condition["type"], condition["status"])
        for condition in conditions
        if condition["status"] != "False" or condition["reason"] not in (SUSPENDED, SCALED_TO_ZERO)
    ]
