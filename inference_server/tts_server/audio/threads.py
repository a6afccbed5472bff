"""Runs encoders in as many threads as there are cores, so that the event loop stays responsive."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class EncodingThreads:
    """Runs encoders off the event loop. The encoders here release the GIL while they compute.

    One call at a time for one encoder: await each `feed` before the next.
    """

    def __init__(self, threads: int | None = None) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(max_workers=threads or cores, thread_name_prefix="encode")

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `work` in a thread and return its result. If the caller is cancelled, the work still runs to its end."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Let running work end, and drop what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)
