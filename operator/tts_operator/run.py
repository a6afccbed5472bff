"""The running operator: its parts, and how they begin and end."""

import asyncio
import contextlib
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from tts_operator.clock import Clock, SystemClock
from tts_operator.cluster.client import Cluster, RequestTimeouts
from tts_operator.cluster.errors import ClusterError, NotFound, NotLeading
from tts_operator.cluster.leader_election import Leader, LeaderElectionConfig
from tts_operator.cluster.lease import ClusterLease
from tts_operator.controller.controller import Controller, ControllerOptions
from tts_operator.controller.store_access import StoreAccess
from tts_operator.controller.watches import Watches
from tts_operator.objects.fields import number
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.names import API_VERSION, GROUP, MANAGED
from tts_operator.observe.credential_files import StoreFiles
from tts_operator.redis_acl.admin import RedisAdmin
from tts_operator.redis_acl.users import RedisUsers
from tts_operator.settings import Settings
from tts_operator.telemetry.health import health_app
from tts_operator.telemetry.metrics import Metrics, metrics_app
from tts_operator.telemetry.watch_health import WatchHealth

log = structlog.get_logger()

WAIT_SECONDS = 2.0
"""Between looks for an API server that does not answer yet, or has no CRDs yet."""
CHECK_SECONDS = 300.0
"""Between checks that the watches still deliver."""
WATCHED: tuple[tuple[str, str, str], ...] = (
    (API_VERSION, "TTSTenant", "ttstenants"),
    (API_VERSION, "TTSModel", "ttsmodels"),
    ("v1", "Pod", "pods"),
    ("apps/v1", "Deployment", "deployments"),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
)
"""What the check lists: the kinds that change without us."""


@dataclass(frozen=True)
class Run:
    """What `tts-operator run` was told."""

    settings: Settings
    pace: ControllerOptions
    config: LeaderElectionConfig
    lease_name: str
    metrics_port: int
    health_port: int


class EventForwarder:
    """Where the watches' news goes: keys to the controller, versions to the check."""

    def __init__(self, controller: Controller, freshness: WatchHealth) -> None:
        self._controller = controller
        self._freshness = freshness

    def tenant_changed(self, key: Key, models: Iterable[str]) -> None:
        self._controller.tenant_changed(key, models)

    def model_changed(self, name: str, fallback: str | None) -> None:
        self._controller.model_changed(name, fallback)

    def child_changed(self, key: Key) -> None:
        self._controller.child_changed(key)

    def deployment_changed(self, found: Body, *, gone: bool) -> None:
        self._controller.deployment_changed(found, gone=gone)

    def status_changed(self, key: Key) -> None:
        self._controller.status_changed(key)

    def saw(self, kind: str, version: str) -> None:
        self._freshness.saw(kind, version)


async def operate(run: Run, clock: Clock | None = None) -> None:
    """Be one replica until SIGTERM or SIGINT: running reconciles end, the Lease is let go."""
    clock = clock or SystemClock()
    stopping = stop_signal()
    metrics, freshness = Metrics(), WatchHealth()
    patience = RequestTimeouts(write_seconds=run.config.lease_seconds - run.config.renew_deadline_seconds)
    async with AsyncExitStack() as stack:
        lease_cluster = await stack.enter_async_context(await Cluster.connect(lambda: True, patience))
        identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        lease = ClusterLease(lease_cluster, run.settings.namespace, run.lease_name)
        leader = Leader(lease, identity, clock, run.config)
        metrics.leading.set_function(leader.may_write)
        cluster = await stack.enter_async_context(await Cluster.connect(leader.may_write, patience, metrics.wrote))
        stores = StoreAccess(StoreFiles(run.settings), await redis_users(run, stack, cluster, leader, clock))
        controller = Controller(cluster, run.settings, clock, metrics, run.pace, stores=stores)
        watches = Watches(EventForwarder(controller, freshness), asyncio.get_running_loop(), run.pace.namespaces)

        def sick() -> list[str]:
            return [f"the watch of {kind} delivers nothing" for kind in freshness.stale(clock.monotonic())]

        def unready() -> list[str]:
            return [] if watches.ready else ["the watches have not begun"]

        await stack.enter_async_context(serving(metrics_app(metrics), run.metrics_port))
        await stack.enter_async_context(serving(health_app(sick, unready), run.health_port))
        async with (
            background(stopping.wait()) as signalled,
            background(wait_for_resources(cluster, run.pace.namespaces)) as found,
        ):
            await asyncio.wait({signalled, found}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            return
        watches.start()
        stack.push_async_callback(watches.stop)
        await stack.enter_async_context(background(check(cluster, freshness, clock, run.pace.namespaces)))
        await lead_until(stopping, leader, controller)


async def redis_users(
    run: Run, stack: AsyncExitStack, cluster: Cluster, leader: Leader, clock: Clock
) -> RedisUsers | None:
    """None without a Redis. Users are registered under the Lease's UID: replicas share it, other operators do not."""
    if run.settings.redis is None:
        return None
    admin = RedisAdmin(run.settings.redis)
    stack.push_async_callback(admin.close)
    known: list[str] = []

    async def operator() -> str:
        if not known:
            lease = await cluster.get(Ref("coordination.k8s.io/v1", "Lease", run.settings.namespace, run.lease_name))
            if lease is None:
                raise NotLeading
            known.append(str(lease["metadata"]["uid"]))
        return known[0]

    return RedisUsers(admin, operator, leader.may_write, clock)


async def lead_until(stopping: asyncio.Event, leader: Leader, controller: Controller) -> None:
    """Stand for leadership again and again. On the signal, work that goes on ends by itself."""

    async def end_work() -> None:
        await stopping.wait()
        controller.stop()

    async def stand() -> None:
        while not stopping.is_set():
            await leader.lead(controller.work)

    async with background(end_work()), background(stopping.wait()) as signalled:
        standing = asyncio.create_task(stand())
        await asyncio.wait({standing, signalled}, return_when=asyncio.FIRST_COMPLETED)
        if not leader.may_write():
            standing.cancel()  # it only waits for its turn
        with contextlib.suppress(asyncio.CancelledError):
            await standing


def stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT."""
    stopping = asyncio.Event()

    def stop(received: signal.Signals) -> None:
        log.info("stopping", signal=received.name)
        stopping.set()

    for expected in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(expected, stop, expected)
    return stopping


@asynccontextmanager
async def background(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Goes on until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def serving(app: web.Application, port: int) -> AsyncIterator[None]:
    """Answers on this port, at every address, until the block ends."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()


async def wait_for_resources(cluster: Cluster, namespaces: tuple[str, ...]) -> None:
    """Until the API server answers and has both CRDs: kopf looks for them only once."""
    for api_version, kind, _ in WATCHED[:2]:
        scopes = (namespaces or ("",)) if kind == "TTSTenant" else ("",)
        while True:
            try:
                for namespace in scopes:
                    await newest_version(cluster, api_version, kind, namespace)
                break
            except NotFound:
                log.warning("no such resource yet: install the CRDs", kind=kind)
            except ClusterError as error:
                log.warning("cluster not reached yet", kind=kind, error=str(error))
            await asyncio.sleep(WAIT_SECONDS)


async def check(cluster: Cluster, freshness: WatchHealth, clock: Clock, namespaces: tuple[str, ...]) -> None:
    """From time to time, compare what exists with what the watches delivered. The liveness probe reads the result."""
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        for api_version, kind, plural in WATCHED:
            try:
                for namespace in ("",) if kind == "TTSModel" else namespaces or ("",):
                    version = await newest_version(cluster, api_version, kind, namespace)
                    freshness.exists(plural, version, clock.monotonic())
            except ClusterError as error:
                log.warning("watches not checked", kind=kind, error=str(error))


async def newest_version(cluster: Cluster, api_version: str, kind: str, namespace: str) -> str:
    """The highest resourceVersion among the objects that are watched; empty if there are none."""
    labels = "" if api_version.startswith(GROUP) else MANAGED
    listed = cluster.list(api_version, kind, namespace, labels, metadata_only=True)
    versions = [str(body["metadata"]["resourceVersion"]) async for body in listed]
    return max(versions, key=number, default="")
