"""Composition root: creates the parts of the operator, starts them and stops them."""

import asyncio
import contextlib
import socket
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from tts_operator.calendar import tz_database
from tts_operator.clock import Clock, SystemClock
from tts_operator.cluster.client import Cluster, RequestTimeouts
from tts_operator.cluster.concurrency import WriteGate
from tts_operator.cluster.errors import NotLeading
from tts_operator.cluster.leader_election import Leader, LeaderElectionConfig
from tts_operator.cluster.lease import ClusterLease
from tts_operator.controller.cluster_checks import ClusterChecks
from tts_operator.controller.controller import Controller, ControllerOptions
from tts_operator.controller.namespace_access import NamespaceAccess
from tts_operator.controller.object_watches import ObjectWatches
from tts_operator.controller.store_access import StoreAccess
from tts_operator.controller.watch_supervisor import WatchSupervisor
from tts_operator.controller.watches import ListedPage, scopes_of
from tts_operator.informer.add_ons import AddOns
from tts_operator.informer.reader import CachedReader, LiveReader
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import LEASE, Kind
from tts_operator.objects.manifest import Body, Ref
from tts_operator.observe.credential_files import StoreFiles
from tts_operator.process import serving, stop_signal
from tts_operator.redis_acl.users import RedisUsers
from tts_operator.settings import Settings
from tts_operator.telemetry.health import health_app
from tts_operator.telemetry.metrics import Metrics, metrics_app
from tts_operator.telemetry.watch_health import WatchHealth

log = structlog.get_logger()


@dataclass(frozen=True)
class Run:
    """Configuration of `tts-operator run`."""

    settings: Settings
    options: ControllerOptions
    election: LeaderElectionConfig
    lease_name: str
    metrics_port: int
    health_port: int


class EventForwarder:
    """Forwards watch events: keys to the controller, versions to the watch health check, objects to the indexer."""

    def __init__(self, controller: Controller, watch_health: WatchHealth, objects: ObjectWatches) -> None:
        self._controller = controller
        self._watch_health = watch_health
        self._objects = objects

    def tenant_changed(self, key: Key, models: Iterable[str]) -> None:
        self._controller.tenant_changed(key, models)

    def model_changed(self, name: str, fallback: str | None) -> None:
        self._controller.model_changed(name, fallback)

    def namespace_changed(self, name: str) -> None:
        self._controller.namespace_changed(name)

    def schedule_changed(self, key: Key) -> None:
        self._controller.schedule_changed(key)

    def child_changed(self, key: Key) -> None:
        self._controller.child_changed(key)

    def deployment_changed(self, deployment: Body, *, gone: bool) -> None:
        self._controller.deployment_changed(deployment, gone=gone)

    def status_changed(self, key: Key) -> None:
        self._controller.status_changed(key)

    def delivered(self, kind: str, version: str) -> None:
        self._watch_health.saw(kind, version)

    def seen(self, kind: Kind, body: Body, *, gone: bool) -> None:
        self._objects.seen(kind, body, gone=gone)

    def listed(self, page: ListedPage) -> None:
        self._objects.listed(page)


async def operate(run: Run, clock: Clock | None = None) -> None:
    """Run one replica until SIGTERM or SIGINT; then running reconciles end, and the Lease is released."""
    clock = clock or SystemClock()
    stopping = stop_signal()
    metrics, watch_health = metrics_of_process(), WatchHealth()
    timeouts = RequestTimeouts(write_seconds=run.election.lease_seconds - run.election.renew_deadline_seconds)
    async with AsyncExitStack() as stack:
        lease_cluster = await stack.enter_async_context(await Cluster.connect(lambda: True, timeouts))
        identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        lease = ClusterLease(lease_cluster, run.settings.namespace, run.lease_name)
        leader = Leader(lease, identity, clock, run.election)
        metrics.leading.set_function(leader.may_write)
        cluster = await stack.enter_async_context(await Cluster.connect(leader.may_write, timeouts, metrics.wrote))
        stores = StoreAccess(StoreFiles(run.settings), await redis_users(run, stack, cluster, leader, clock))
        access = NamespaceAccess(run.options.namespaces, metrics.namespaces_skipped.set)
        cluster.gate = WriteGate()
        metrics.write_limit.set_function(lambda: cluster.gate.limit.limit if cluster.gate else 0)
        # Each watch occupies a connection, and an operator of many namespaces has many.
        watching_cluster = await stack.enter_async_context(await Cluster.connect(lambda: False, connections=0))
        objects = ObjectWatches(watching_cluster, clock.monotonic, metrics.watch_repairs.inc)
        cluster.stored = objects.own_writes.stored
        add_ons = AddOns(run.settings.add_ons)
        reader = CachedReader(objects.indexer, objects.is_current, LiveReader(cluster, add_ons))
        controller = Controller(
            cluster, run.settings, clock, metrics, run.options, stores=stores, access=access, reader=reader
        )
        checks = ClusterChecks(cluster, access, watch_health, clock, objects.namespace_read, add_ons, controller.resync)
        forwarder = EventForwarder(controller, watch_health, objects)
        watches = WatchSupervisor(
            forwarder,
            clock.monotonic,
            controller.resync,
            metrics.watch_restarts.inc,
            aged=lambda ages: metrics.watch_ages({**ages, **objects.ages()}),
        )
        objects.connect(forwarder, watches.works)

        def unhealthy() -> list[str]:
            return [f"the watch of {kind} delivers no events" for kind in watch_health.stale(clock.monotonic())]

        await stack.enter_async_context(serving(metrics_app(metrics), run.metrics_port))

        def unready() -> list[str]:
            return [*watches.problems(), *objects.problems()]

        await stack.enter_async_context(serving(health_app(unhealthy, unready), run.health_port))
        async with (
            background(stopping.wait()) as signalled,
            background(checks.wait_for_resources()) as available,
        ):
            await asyncio.wait({signalled, available}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            return
        for work in watching(watches, objects, checks, run.options.resync_seconds):
            await stack.enter_async_context(background(work))
        await lead_until(stopping, leader, controller)


def metrics_of_process() -> Metrics:
    """The metrics, with what does not change while the process runs."""
    metrics = Metrics()
    metrics.time_zones.info({"version": tz_database.VERSION})
    return metrics


def watching(
    watches: WatchSupervisor, objects: ObjectWatches, checks: ClusterChecks, relist_seconds: float
) -> tuple[Coroutine[Any, Any, None], ...]:
    """Everything that keeps the watches going, from now on."""
    access = checks.access

    def watch() -> None:
        scopes = scopes_of(
            access.readable, confined=access.confined, labels=access.labels_readable, add_ons=checks.add_ons
        )
        watches.watch(tuple(scope.by_kopf for scope in scopes if scope.by_kopf.kinds))
        objects.watch(scopes)

    def restored() -> None:
        objects.restored()
        watches.restart("the API server's storage was restored from an older copy")

    watch()
    return watches.run(), objects.run(relist_seconds), checks.probe(watch, restored), checks.compare_versions()


async def redis_users(
    run: Run, stack: AsyncExitStack, cluster: Cluster, leader: Leader, clock: Clock
) -> RedisUsers | None:
    """Users of the operator's Redis; None without one. They are registered under the UID of the replicas' Lease."""
    if run.settings.redis is None:
        return None
    from tts_operator.redis_acl.admin import RedisAdmin  # a fifth of the start, only where it is needed

    admin = RedisAdmin(run.settings.redis)
    stack.push_async_callback(admin.close)
    lease_uid: list[str] = []

    async def operator() -> str:
        if not lease_uid:
            lease = await cluster.get(Ref.of(LEASE, run.settings.namespace, run.lease_name))
            if lease is None:
                raise NotLeading
            lease_uid.append(str(lease["metadata"]["uid"]))
        return lease_uid[0]

    return RedisUsers(admin, operator, leader.may_write, clock)


async def lead_until(stopping: asyncio.Event, leader: Leader, controller: Controller) -> None:
    """Be a candidate, or the leader, until the signal; then running reconciles end before this returns."""

    async def end_work() -> None:
        await stopping.wait()
        controller.stop()

    async def be_candidate() -> None:
        while not stopping.is_set():
            await leader.lead(controller.work)

    async with background(end_work()), background(stopping.wait()) as signalled:
        candidate = asyncio.create_task(be_candidate())
        await asyncio.wait({candidate, signalled}, return_when=asyncio.FIRST_COMPLETED)
        if not leader.may_write():
            candidate.cancel()  # it only waits for the lease
        with contextlib.suppress(asyncio.CancelledError):
            await candidate


@asynccontextmanager
async def background(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Run a coroutine until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
