"""The process around the application: sockets, signals, and a shutdown that drops no request.

start      port open, /readyz 503 -> engines loaded, /readyz 200
SIGTERM    /readyz 503, requests still accepted, every response closes its connection (LINGER_SECONDS)
           -> port closed, requests in flight complete (drainSeconds) -> engines stop, exit code 0

It builds on private parts of uvicorn: docs/decisions/0016-uvicorn-private-parts.md.
"""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any
from wsgiref.simple_server import WSGIServer

import structlog
import uvicorn
from prometheus_client import start_http_server

from tts_server.app.build import Application
from tts_server.app.open_files import connections_within, raise_open_files
from tts_server.config.schema import METRICS_PORT
from tts_server.http.connection_limit import MOST_CONNECTIONS, ConnectionLimit
from tts_server.http.protocol import Connection
from tts_server.telemetry.logging import log_background_failure
from tts_server.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

LINGER_SECONDS = 2.0
"""Time for clients with open connections to get a response that closes theirs; new connections reach other replicas."""
LAST_REQUEST_SECONDS = 0.1
TICK_SECONDS = 0.05
BACKLOG = 2048
IDLE_SECONDS = 75
"""Keep-alive timeout. Longer than the usual 60 s of proxies, so that the client closes first."""
UNREAD_SECONDS = 60.0
"""TCP_USER_TIMEOUT: the kernel drops a connection whose client acknowledges nothing for so long."""

OnReady = Callable[[Application, str], None]


class PortTaken(Exception):  # noqa: N818 - it says what happened
    """Another process listens on the address, or this one may not."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Address of the API and its metrics. Port 0 is any free one; metrics port None is 9090 where it is free."""

    host: str
    port: int
    metrics_port: int | None = None


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run like `asyncio.run`, on uvloop where it is installed."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.get_loop().set_exception_handler(log_background_failure)
        runner.run(work)


async def serve(application: Application, address: ListenAddress, on_ready: OnReady | None = None) -> None:
    """Serve until a signal. Raises `PortTaken`, and `EngineError` or `CatalogueError` where it cannot start."""
    sock = _bound(address.host, address.port)
    metrics, metrics_port = _serve_metrics(application.server.metrics, address)
    port = sock.getsockname()[1]
    most_connections = connections_within(raise_open_files())
    server = _Server(_config(application, most_connections))
    stopping = _on_signals(asyncio.get_running_loop())
    http = asyncio.create_task(server.serve([sock]))
    try:
        log.info(
            "listening",
            host=address.host, port=port, metrics_port=metrics_port, most_connections=most_connections,
        )  # fmt: skip
        await _load(application, stopping)
        if not stopping.done():
            log.info("ready")
            if on_ready is not None:
                on_ready(application, f"http://{_shown(address.host)}:{port}")
        await _either(http, stopping)
        await _drain(application, server, stopping)
    finally:
        server.should_exit = True
        await asyncio.wait([http])
        await application.stop()
        if metrics is not None:
            metrics.shutdown()
            metrics.server_close()
    http.result()
    log.info("stopped")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class _Server(uvicorn.Server):
    """A uvicorn server without its signal handlers, which would exit with the signal's code instead of 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _config(application: Application, most_connections: int = MOST_CONNECTIONS) -> uvicorn.Config:
    # Its access log would hold paths and no tenant; its other lines go where ours go.
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    return uvicorn.Config(
        application.asgi,
        http=partial(Connection, limit=ConnectionLimit(most_connections)),  # type: ignore[arg-type]  # it is only called
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # auth.trustedProxies decides which proxies are trusted
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_SECONDS,
        ws="none",
    )


def _is_news(record: logging.LogRecord) -> bool:
    return "without completing response" not in record.msg  # the request's own log line has the reason


async def _load(application: Application, stopping: "asyncio.Future[signal.Signals]") -> None:
    loading = asyncio.create_task(application.start())
    await _either(loading, stopping)
    if not loading.done():
        loading.cancel()
        await asyncio.wait([loading])
    elif loading.exception() is not None:
        loading.result()


async def _either(one: "asyncio.Future[Any]", other: "asyncio.Future[Any]") -> None:
    await asyncio.wait([one, other], return_when=asyncio.FIRST_COMPLETED)


def _on_signals(loop: asyncio.AbstractEventLoop) -> "asyncio.Future[signal.Signals]":
    """Return the first signal, which ends the server; a second one ends the process at once."""
    stopping: asyncio.Future[signal.Signals] = loop.create_future()

    def handle(number: signal.Signals) -> None:
        if not stopping.done():
            stopping.set_result(number)
            return
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle, number)
    return stopping


async def _drain(application: Application, server: _Server, stopping: "asyncio.Future[signal.Signals]") -> None:
    application.server.drain()
    snapshot = application.server.snapshot
    drain_seconds = snapshot.config.drain_seconds if snapshot is not None else 0
    started = time.monotonic()
    log.info("draining", requests=snapshot.requests if snapshot is not None else 0, drain_seconds=drain_seconds)
    if stopping.done() and stopping.result() is signal.SIGTERM:
        linger_until = started + min(LINGER_SECONDS, drain_seconds)
        while server.server_state.connections and time.monotonic() < linger_until:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(TICK_SECONDS)
        # A request may still arrive on a connection that was accepted just now.
        for accepting in server.servers:
            accepting.close()
        await asyncio.sleep(LAST_REQUEST_SECONDS)
    # Rounded, because uvicorn takes whole seconds.
    server.config.timeout_graceful_shutdown = max(1, round(drain_seconds - (time.monotonic() - started)))


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortTaken(f"{host} is not an address of this machine: {error.strerror}") from error
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted connections inherit it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_SECONDS * 1000))
    try:
        sock.bind(address)
        sock.listen(BACKLOG)  # now: a port that is only bound could be bound again, by the metrics for example
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise PortTaken(f"{host} is not an address of this machine: choose another one with --host.") from error
        raise PortTaken(
            f"port {port} of {host} cannot be used: {error.strerror}. Choose another one with --port."
        ) from error
    return sock


def _serve_metrics(metrics: Metrics, address: ListenAddress) -> tuple[WSGIServer | None, int | None]:
    """Serve metrics from a thread of its own, which answers while the event loop is busy."""
    port = METRICS_PORT if address.metrics_port is None else address.metrics_port
    try:
        server, _ = start_http_server(port, address.host, metrics.registry)
    except OSError as error:
        if address.metrics_port is not None:
            raise PortTaken(
                f"port {port} cannot be used: {error.strerror}. Choose another one with --metrics-port."
            ) from error
        log.warning("metrics not served: port in use", port=port)
        return None, None
    server.handle_error = _metrics_not_sent  # type: ignore[method-assign]  # the class is made inside the library
    return server, server.server_port


def _metrics_not_sent(request: object, client_address: object) -> None:
    """Log a failure, usually a scraper that did not wait, in place of a stack trace on stderr."""
    del request, client_address
    log.warning("metrics not sent", exc_info=sys.exception())


def _shown(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"[{host}]" if ":" in host else host
