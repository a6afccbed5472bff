"""Composition root of `tts-operator waker`."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from tts_operator.clock import Clock, SystemClock
from tts_operator.cluster.client import Cluster
from tts_operator.process import serving, stop_signal
from tts_operator.settings import WakerProcessSettings
from tts_operator.telemetry.health import health_app
from tts_operator.telemetry.metrics import metrics_app
from tts_operator.telemetry.waker_metrics import WakerMetrics
from tts_operator.waker.budget import Budget, Limits
from tts_operator.waker.feed import Feed
from tts_operator.waker.passing import Passer
from tts_operator.waker.server import Arrivals, Parts, TenantServer
from tts_operator.waker.tenants import Tenants
from tts_operator.waker.wakes import Wakes

log = structlog.get_logger()

BACKLOG = 128
"""Connections of one port that wait to be accepted."""


async def wake(settings: WakerProcessSettings, clock: Clock | None = None) -> None:
    """Answer requests until SIGTERM or SIGINT; then the requests that are in flight end."""
    clock = clock or SystemClock()
    allow_many_files()
    stopping = stop_signal()
    metrics, tenants, arrivals = WakerMetrics(), Tenants(settings.release), Arrivals()
    metrics.tenants.set_function(lambda: len(tenants))
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(await Cluster.connect(lambda: True))
        passer = Passer()
        stack.push_async_callback(passer.close)
        budget = Budget(
            Limits(settings.tenant_requests, settings.tenant_bytes, settings.total_requests, settings.total_bytes)
        )
        metrics.held.set_function(lambda: budget.requests)
        feed = Feed(cluster, tenants, settings.watch_namespaces, arrivals.changed)
        wakes = Wakes(cluster, clock, metrics.wakes.inc)
        parts = Parts(tenants, arrivals, wakes, passer, budget, metrics, clock, settings.max_body_bytes)

        def unready() -> list[str]:
            return [] if feed.complete else ["tenants and pods have not been listed yet"]

        await stack.enter_async_context(serving(health_app(list, unready), settings.health_port))
        await stack.enter_async_context(serving(metrics_app(metrics), settings.metrics_port))
        following = asyncio.create_task(feed.run())
        stack.callback(following.cancel)
        ports = range(settings.first_port, min(settings.first_port + settings.ports, 65_536))
        async with _listening(TenantServer(parts), ports):
            log.info("waker started", first_port=ports[0], ports=len(ports))
            stopped = asyncio.create_task(stopping.wait())
            await asyncio.wait({stopped, following}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
        await _drained(budget, settings.drain_seconds)


def allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one: a container may start with 1024, and each port is a file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # an endless hard limit may be above the kernel's
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _drained(budget: Budget, seconds: float) -> None:
    """Wait until no request is in flight, for at most this time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while budget.requests:  # noqa: ASYNC110 - the budget is pure, and knows no event loop
                await asyncio.sleep(0.1)


@asynccontextmanager
async def _listening(tenants: TenantServer, ports: Iterable[int]) -> AsyncIterator[None]:
    """Listen on every port until the block ends; connections go on after that.

    All of them from the start: a tenant's Service may lead here before the waker has read that the port is in use.
    """
    loop = asyncio.get_running_loop()
    servers: list[asyncio.Server] = []
    try:
        for port in ports:
            server = await loop.create_server(tenants.server, sock=_socket(port), backlog=BACKLOG)
            servers.append(server)
        yield
    finally:
        for server in servers:
            server.close()


def _socket(port: int) -> socket.socket:
    """A listening socket at every address, of both families where the machine has both."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            log.debug("no socket of both families", port=port, error=str(error))
    return socket.create_server(("", port))
