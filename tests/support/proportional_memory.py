"""Memory of processes that share pages: a page counts for each of them in proportion (PSS)."""

import asyncio
import time
from collections.abc import Collection
from pathlib import Path

from tests.support.timeouts import HANG_SECONDS


def proportional_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


async def rests(pids: Collection[int]) -> None:
    """Wait until these processes have returned the memory that they do not need: a second after their last work."""
    deadline, sizes = time.monotonic() + HANG_SECONDS, [0, 1]
    while sizes[-1] != sizes[-2] and time.monotonic() < deadline:
        await asyncio.sleep(1.5)
        sizes.append(sum(map(proportional_bytes, pids)) >> 20)
