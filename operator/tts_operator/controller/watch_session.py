"""One session of watching, in a thread with an event loop of its own. A session that hangs is abandoned, not awaited.

kopf needs the loop to itself, because it cancels every task of its loop when it ends. And its end can take for ever: a
watch that is refused ends it, and the other watches may then wait for credentials that nobody delivers any more.
"""

import asyncio
import contextlib
import threading
from typing import Protocol

import structlog

log = structlog.get_logger()

CLOSE_SECONDS = 0.3
"""Time that the tasks of a session have to end after they were cancelled, seconds."""


class Watching(Protocol):
    """The work of one session. Both methods are called in the session's thread."""

    async def watch(self) -> None:
        """Watch until an error or until cancelled."""

    async def disconnect(self) -> None:
        """Close the connections."""


class WatchSession:
    """Runs one `Watching` from `start` until it ends or until `abandon`."""

    def __init__(self, watching: Watching, name: str) -> None:
        self._watching = watching
        self._loop = asyncio.new_event_loop()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watches {name}".strip(), daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the thread runs, which it may do without watching anything."""
        return self._thread.is_alive()

    def abandon(self) -> None:
        """Stop the loop whatever its tasks wait for. Returns at once; a blocked thread ends when it is no longer."""
        self._abandoned.set()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the session ended by itself
            self._loop.call_soon_threadsafe(self._loop.stop)

    async def ended(self, within_seconds: float) -> None:
        """Wait until the thread has ended, but no longer than this."""
        await asyncio.to_thread(self._thread.join, within_seconds)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda _loop, context: log.debug("watch session", **_described(context)))
        try:
            self._loop.run_until_complete(self._watching.watch())
        except Exception as error:
            if not self._abandoned.is_set():
                log.warning("watch session failed", error=str(error) or type(error).__name__)
        finally:
            self._end()

    def _end(self) -> None:
        """Cancel what is left, and close the loop even if something refuses to end."""
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()  # past a `stop` that came too late for `run`: it would stop what follows
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(Exception):
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=CLOSE_SECONDS))
        with contextlib.suppress(Exception):
            self._loop.run_until_complete(asyncio.wait_for(self._watching.disconnect(), CLOSE_SECONDS))
        self._loop.close()


def _described(context: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in context.items() if name in {"message", "exception"}}
