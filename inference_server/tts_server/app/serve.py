"""The process around the application: sockets, signals, and an end that drops nothing.

start      port open, /readyz 503 -> engines loaded, /readyz 200
SIGTERM    /readyz 503, still answering, every answer closes its connection (LINGER_SECONDS)
           -> the port closed, requests under way end (drainSeconds) -> engines end, exit code 0
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
from typing import Any
from wsgiref.simple_server import WSGIServer

import structlog
import uvicorn
from prometheus_client import start_http_server
from uvicorn.loops.auto import auto_loop_factory

from tts_server.app.build import Application
from tts_server.config.schema import METRICS_PORT
from tts_server.http.protocol import Connection
from tts_server.telemetry.logging import log_background_failure
from tts_server.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

LINGER_SECONDS = 2.0
"""In which callers with open connections learn that they must come back on new ones, which lead elsewhere."""
LAST_REQUEST_SECONDS = 0.1
TICK_SECONDS = 0.05
BACKLOG = 2048
IDLE_SECONDS = 75
"""Between two requests. Longer than the usual 60 s of what stands before it, so that the caller closes first."""
UNREAD_SECONDS = 60.0
"""For what was written and is not taken: the kernel gives a connection up then, however its caller left it."""

OnReady = Callable[[Application, str], None]


class PortTaken(Exception):  # noqa: N818 - it says what happened
    """Somebody else listens there, or this process may not."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen; port 0 is any, metrics port None the usual one if it is free."""

    host: str
    port: int
    metrics_port: int | None = None


def run(work: Coroutine[Any, Any, None]) -> None:
    """Like `asyncio.run`, on the loop that uvicorn would choose: uvloop where there is one."""
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.get_loop().set_exception_handler(log_background_failure)
        runner.run(work)


async def serve(application: Application, listener: Listener, on_ready: OnReady | None = None) -> None:
    """Until a signal ends it. Raises `PortTaken`, and `EngineError` or `CatalogueError` where it cannot start."""
    sock = _bound(listener.host, listener.port)
    metrics, metrics_port = _serve_metrics(application.server.metrics, listener)
    port = sock.getsockname()[1]
    server = _Server(_config(application))
    ending = _on_signals(asyncio.get_running_loop())
    http = asyncio.create_task(server.serve([sock]))
    try:
        log.info("listening", host=listener.host, port=port, metrics_port=metrics_port)
        await _load(application, ending)
        if not ending.done():
            log.info("ready")
            if on_ready is not None:
                on_ready(application, f"http://{_shown(listener.host)}:{port}")
        await _either(http, ending)
        await _drain(application, server, ending)
    finally:
        server.should_exit = True
        await asyncio.wait([http])
        await application.stop()
        if metrics is not None:
            metrics.shutdown()
            metrics.server_close()
    http.result()
    log.info("ended")


class _Server(uvicorn.Server):
    """uvicorn, whose signals are handled here: its own handler ends in the signal's exit code, not in 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _config(application: Application) -> uvicorn.Config:
    # Its log of requests would hold paths and no tenant; its other lines go where ours go.
    logging.getLogger("uvicorn.error").addFilter(_not_said_already)
    return uvicorn.Config(
        application.asgi,
        http=Connection,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # whom to believe about addresses is our configuration: auth.trustedProxies
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_SECONDS,
        ws="none",
    )


def _not_said_already(record: logging.LogRecord) -> bool:
    return "without completing response" not in record.msg  # the request's own line says why


async def _load(application: Application, ending: "asyncio.Future[signal.Signals]") -> None:
    loading = asyncio.create_task(application.start())
    await _either(loading, ending)
    if not loading.done():
        loading.cancel()
        await asyncio.wait([loading])
    elif loading.exception() is not None:
        loading.result()


async def _either(one: "asyncio.Future[Any]", other: "asyncio.Future[Any]") -> None:
    await asyncio.wait([one, other], return_when=asyncio.FIRST_COMPLETED)


def _on_signals(loop: asyncio.AbstractEventLoop) -> "asyncio.Future[signal.Signals]":
    """The first signal that ends the server; a second one ends it at once."""
    ending: asyncio.Future[signal.Signals] = loop.create_future()

    def handle(number: signal.Signals) -> None:
        if not ending.done():
            ending.set_result(number)
            return
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle, number)
    return ending


async def _drain(application: Application, server: _Server, ending: "asyncio.Future[signal.Signals]") -> None:
    application.server.drain()
    snapshot = application.server.snapshot
    drain_seconds = snapshot.config.drain_seconds if snapshot is not None else 0
    begun = time.monotonic()
    log.info("draining", requests=snapshot.requests if snapshot is not None else 0, drain_seconds=drain_seconds)
    if ending.done() and ending.result() is signal.SIGTERM:
        linger_until = begun + min(LINGER_SECONDS, drain_seconds)
        while server.server_state.connections and time.monotonic() < linger_until:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(TICK_SECONDS)
        # Not both at once: a request may be on its way over a connection that was only just accepted.
        for accepting in server.servers:
            accepting.close()
        await asyncio.sleep(LAST_REQUEST_SECONDS)
    # Rounded: uvicorn takes whole seconds.
    server.config.timeout_graceful_shutdown = max(1, round(drain_seconds - (time.monotonic() - begun)))


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortTaken(f"{host} is no address of this machine: {error.strerror}") from error
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted connections inherit it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_SECONDS * 1000))
    try:
        sock.bind(address)
        sock.listen(BACKLOG)  # at once: a port that is only bound can be bound again, for the metrics say
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise PortTaken(f"{host} is no address of this machine: choose another one with --host.") from error
        raise PortTaken(
            f"port {port} of {host} cannot be used: {error.strerror}. Choose another one with --port."
        ) from error
    return sock


def _serve_metrics(metrics: Metrics, listener: Listener) -> tuple[WSGIServer | None, int | None]:
    """In a thread of its own, so that it answers while the event loop is busy."""
    wanted = METRICS_PORT if listener.metrics_port is None else listener.metrics_port
    try:
        server, _ = start_http_server(wanted, listener.host, metrics.registry)
    except OSError as error:
        if listener.metrics_port is not None:
            raise PortTaken(
                f"port {wanted} cannot be used: {error.strerror}. Choose another one with --metrics-port."
            ) from error
        log.warning("no metrics: their port is taken", port=wanted)
        return None, None
    server.handle_error = _metrics_not_sent  # type: ignore[method-assign]  # the class is made inside the library
    return server, server.server_port


def _metrics_not_sent(request: object, client_address: object) -> None:
    """In place of a stack on stderr. Most often whoever asked did not wait for the answer."""
    del request, client_address
    log.warning("metrics were not sent", exc_info=sys.exception())


def _shown(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"[{host}]" if ":" in host else host
