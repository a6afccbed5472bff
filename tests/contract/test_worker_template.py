"""Workers of one engine are forked from a process that has loaded it: they share its memory, and end with it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.proportional_memory import proportional_bytes, rests
from tests.support.timeouts import HANG_SECONDS
from tests.support.worker_pools import FAILING_ENGINE, beep, synthesized, until
from tts_server.errors import EngineCrashed, EngineError, EngineTimeout
from tts_server.inference.client import Utterance
from tts_server.inference.pool import worker_pool
from tts_server.inference.pool.template import SUPPORTED
from tts_server.inference.pool.worker_pool import WorkerPool

MOST_MEMORY = 1.3
"""Memory of two processes beside that of one."""
SENTENCE = "Heavy rain is expected tonight, with strong winds along the coast."

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="only Linux tells of the end of another's process")


@pytest.fixture(autouse=True)
def every_engine_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "shares_memory", lambda _: True)


@asynccontextmanager
async def started(engine: str, **options: object) -> AsyncIterator[WorkerPool]:
    arguments: dict[str, object] = {"processes": 2, "first_audio_timeout_seconds": HANG_SECONDS}
    pool = WorkerPool(engine, **arguments | options)  # type: ignore[arg-type]  # keyword by keyword
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_two_processes_need_at_most_a_third_more_memory_than_one() -> None:
    memory = []
    for processes in (1, 2):
        async with started("onnx", processes=processes, options={"family": "Hibari"}) as pool:
            pids = set(pool.pids) | ({parent_of(pool.pids[0])} - {os.getpid()})
            assert len(pids) == (1 if processes == 1 else 3)
            for _ in range(2):
                await asyncio.gather(*(synthesized(pool, Utterance(SENTENCE, "heart")) for _ in range(processes)))
            await rests(pids)
            memory.append(sum(map(proportional_bytes, pids)))
    assert memory[1] <= MOST_MEMORY * memory[0], memory


async def test_a_worker_that_dies_is_forked_again_by_the_same_process() -> None:
    reasons: list[str] = []
    async with started(FAILING_ENGINE, on_restart=reasons.append) as pool:
        template, before = parent_of(pool.pids[0]), set(pool.pids)
        assert template not in {os.getpid(), *before}
        with pytest.raises(EngineCrashed, match="SIGSEGV"):
            await synthesized(pool, beep("crash"))
        await until(lambda: len(pool.pids) == 2)
        assert {parent_of(pid) for pid in pool.pids} == {template}
        assert (await synthesized(pool, beep("ok"))).size > 0
    assert reasons == ["crashed"]
    assert all(map(has_ended, before | {template}))


async def test_when_the_process_that_forks_is_killed_all_workers_are_replaced() -> None:
    async with started(FAILING_ENGINE) as pool:
        template, before = parent_of(pool.pids[0]), set(pool.pids)
        os.kill(template, signal.SIGKILL)
        await until(lambda: len(set(pool.pids) - before) == 2)
        assert (await synthesized(pool, beep("ok"))).size > 0
        assert all(map(has_ended, before))


async def test_an_engine_with_threads_is_loaded_by_each_worker() -> None:
    async with started("tests.support.tone_engines:ThreadedEngine") as pool:
        assert {parent_of(pid) for pid in pool.pids} == {os.getpid()}
        assert (await synthesized(pool, beep("ok"))).size > 0


async def test_an_engine_that_cannot_be_loaded_says_why_and_leaves_no_process() -> None:
    pool = WorkerPool("tests.support.tone_engines:UnloadableEngine", processes=2)
    with pytest.raises(EngineError, match="raised FileNotFoundError"):
        await pool.start()
    assert pool.pids == []


async def test_an_engine_that_loads_for_ever_is_given_up() -> None:
    pool = WorkerPool("tests.support.tone_engines:HangingEngine", processes=2, load_timeout_seconds=0.5)
    with pytest.raises(EngineTimeout, match="did not load"):
        await pool.start()
    assert pool.pids == []


async def test_onnx_runtime_reports_to_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    async with started("onnx", options={"family": "Hibari"}) as pool:
        await synthesized(pool, Utterance(SENTENCE, "heart"))
        template = parent_of(pool.pids[0])
        assert template != os.getpid(), "its thread would forbid to fork"
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - it does not block for long
