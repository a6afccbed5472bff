"""Composition root of `kubectl tts console`."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web

from tts_operator.clock import SystemClock
from tts_operator.cluster.client import Cluster, Kubeconfig, RequestTimeouts
from tts_operator.console.access import ADDRESS, Access
from tts_operator.console.feed import Feed
from tts_operator.console.figures import Figures
from tts_operator.console.fleet import Fleet
from tts_operator.console.server import Parts, application
from tts_operator.process import stop_signal

READ_SECONDS = 20.0


@dataclass(frozen=True)
class ConsoleOptions:
    """Options of the console, as its command line has them."""

    kubeconfig: Kubeconfig
    title: str
    """Context of the kubeconfig, as the page shows it."""
    own_namespace: str
    """Namespace of the context: it is shown where all may not be listed."""
    namespaces: Sequence[str] = ()
    """Namespaces to show; empty for all."""
    port: int = 0
    """Port to listen on; 0 for any that is free."""
    open_browser: bool = True


async def serve(options: ConsoleOptions, announce: Callable[[str], None]) -> None:
    """Serve the page until SIGTERM or SIGINT. Raises Unreachable without a usable kubeconfig, OSError for the port."""
    quiet_logs()
    stopping, clock = stop_signal(), SystemClock()
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(socket.create_server((ADDRESS, options.port)))
        timeouts = RequestTimeouts(read_seconds=READ_SECONDS)
        cluster = await stack.enter_async_context(
            await Cluster.connect(lambda: True, timeouts, kubeconfig=options.kubeconfig)
        )
        fleet = Fleet(clock)
        following = asyncio.create_task(Feed(cluster, fleet, options.namespaces, options.own_namespace).run())
        stack.callback(following.cancel)
        access = Access(int(listener.getsockname()[1]))
        parts = Parts(access, cluster, fleet, Figures(cluster, clock), options.title)
        await stack.enter_async_context(_listening(listener, application(parts)))
        announce(access.url)
        if options.open_browser:
            await asyncio.to_thread(webbrowser.open, access.url)
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({stopped, following}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()


@asynccontextmanager
async def _listening(listener: socket.socket, app: web.Application) -> AsyncIterator[None]:
    """Answer on a socket until the block ends."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()


def quiet_logs() -> None:
    """Write warnings to standard error: the page says what cannot be read."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
