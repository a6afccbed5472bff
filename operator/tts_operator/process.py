"""Parts of a long-running program: its end by a signal, and what it serves by HTTP."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

log = structlog.get_logger()


def stop_signal() -> asyncio.Event:
    """Create an event that SIGTERM and SIGINT set."""
    stopping = asyncio.Event()

    def stop(received: signal.Signals) -> None:
        log.info("stopping", signal=received.name)
        stopping.set()

    for expected in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(expected, stop, expected)
    return stopping


@asynccontextmanager
async def serving(app: web.Application, port: int) -> AsyncIterator[None]:
    """Serve an application on this port, at every address, until the block ends."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
