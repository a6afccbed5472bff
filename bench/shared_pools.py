"""Measures a shared pool: what 1,000 tenants cost one `tts-server` in memory and each request in time, how soon a
tenant that joins is heard, and how a quiet tenant fares beside one that sends 20 times what its limit allows. The
engine is eSpeak NG in one process; requests come from other processes over HTTP. Blocks alternate, so that the load of
others on the machine falls on all. Those beside the noise last a minute, because that is the window of the limit: what
it allows is spoken in the first seconds of each minute, and the rest is refused. Noise at another pool of the same
machine tells what its client alone costs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.figures import Figure, percentile
from tests.support.server_process import Running, espeak_alone, running
from tts_server.config.shared_tenants import SHARDS, shard_file, shard_of

TENANTS = int(os.environ.get("SHARED_TENANTS", "1000"))
BLOCKS = int(os.environ.get("SHARED_BLOCKS", "2"))
"""Rounds of blocks, one of each kind."""
SAMPLES = int(os.environ.get("SHARED_SAMPLES", "480"))
"""Requests of a block: a minute of them."""
COUNTED = 200
"""Requests whose CPU is measured."""
QUIET_PER_SECOND = 8.0
NOISY_PER_MINUTE = 100
NOISY_TIMES = 20
MEBIBYTE = 2**20
QUIET, NOISY, JOINER = "team-quiet.quiet", "team-noisy.noisy", "team-new.new"


async def measure() -> list[Figure]:
    figures: list[Figure] = []
    with _pool(2) as few, _pool(TENANTS) as many:
        memory = (_resident_bytes(many) - _resident_bytes(few)) / MEBIBYTE
        figures += [
            Figure(f"memory of {TENANTS:,} tenants", memory, "MiB", "resident, above a pool of two"),
            Figure("memory of each", memory * 1024 / max(TENANTS - 2, 1), "KiB"),
        ]
        seconds: dict[str, list[float]] = {name: [] for name in ("two", "many", "alone", "elsewhere", "beside")}
        noise, elsewhere, failed = Counter[int](), Counter[int](), 0
        for block in range(BLOCKS):
            pools = [(few, seconds["two"]), (many, seconds["many"])]
            for server, into in pools if block % 2 else reversed(pools):
                failed += await _quiet(server, block, into)
            failed += await _quiet(many, 100 + block, seconds["alone"])
            async with _noisy(few, elsewhere):
                failed += await _quiet(many, 200 + block, seconds["elsewhere"])
            async with _noisy(many, noise):
                failed += await _quiet(many, 300 + block, seconds["beside"])
        figures += await _costs("two tenants", few)
        figures += await _costs(f"{TENANTS:,} tenants", many)
        figures += _latencies("a reply, two tenants", seconds["two"])
        figures += _latencies(f"a reply, {TENANTS:,} tenants", seconds["many"])
        figures.append(await _joining(many))
        figures += _latencies("the quiet tenant alone", seconds["alone"])
        figures += _latencies("the quiet tenant, the noise at another pool of the machine", seconds["elsewhere"])
        figures += _latencies("the quiet tenant, the noise at its own pool", seconds["beside"])
        figures += [
            Figure("requests of the noisy tenant that were served", noise[200], ""),
            Figure("requests of the noisy tenant that were refused", noise[429], "", "429"),
            Figure("requests of the quiet tenant that failed", failed, ""),
        ]
    return figures


def _latencies(what: str, seconds: Sequence[float]) -> list[Figure]:
    rows = [Figure(f"{what}, P{percent}", percentile(seconds, percent) * 1e3, "ms") for percent in (50, 95)]
    return [*rows[:1], Figure(rows[1].what, rows[1].value, "ms", f"{len(seconds)} requests")]


def _key(tenant: str) -> str:
    return f"tts_{tenant}"


def _entry(tenant: str) -> dict[str, Any]:
    quota = {"requestsPerMinute": NOISY_PER_MINUTE} if tenant == NOISY else {"requestsPerMinute": 100_000}
    return {
        "uid": f"00000000-0000-4000-8000-{hashlib.sha256(tenant.encode()).hexdigest()[:12]}",
        "weight": 10,
        "keys": {name: hashlib.sha256(key.encode()).hexdigest()
                 for name, key in (("app", _key(tenant)), ("other", f"other {tenant}"))},
        "quota": quota | {"requestsPerDay": 1_000_000, "concurrentRequests": 20},
        "modelAliases": {"tts-1": "espeak"},
        "voiceAliases": {"alloy": "en-us", "ash": "en-gb"},
        "languageRouting": [{"language": "zh", "voice": "cmn"}, {"language": "default", "voice": "en-us"}],
        "cache": {"enabled": True},
    }  # fmt: skip


def _write(folder: Path, tenants: dict[str, dict[str, Any]]) -> None:
    for number in range(SHARDS):
        content = {name: entry for name, entry in tenants.items() if shard_of(name) == number}
        fresh = folder / "fresh"
        fresh.write_text(json.dumps({"tenants": content}))
        fresh.rename(folder / shard_file(number))


@contextmanager
def _pool(tenants: int) -> Iterator[Running]:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        names = [QUIET, NOISY, *(f"team-{number // 10}.tenant-{number}" for number in range(tenants))][:tenants]
        (folder / "tenants").mkdir()
        _write(folder / "tenants", {name: _entry(name) for name in names})
        flag = espeak_alone(
            folder, role="Shared", tenantsDirectory=str(folder / "tenants"), auth={"modes": ["APIKey"]},
            modelAliases={}, voiceAliases={},
        )  # fmt: skip
        with running(folder, flag) as server:
            yield server


def _resident_bytes(server: Running) -> int:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _ask(client: httpx.AsyncClient, url: str, tenant: str, text: str) -> int:
    body = {"model": "tts-1", "voice": "alloy", "input": text, "response_format": "pcm"}
    headers = {"Authorization": f"Bearer {_key(tenant)}"}
    reply = await client.post(f"{url}/v1/audio/speech", json=body, headers=headers)
    return reply.status_code


async def _costs(what: str, server: Running) -> list[Figure]:
    """CPU of the server's own process, which the load of others does not change."""
    async with httpx.AsyncClient(timeout=60) as client:
        for number in range(NOISY_PER_MINUTE + 1):  # the limit is spent from here on
            await _ask(client, server.url, NOISY, f"Number {number}.")
        refused = await _cpu(client, server, NOISY)
        served = await _cpu(client, server, QUIET)
    return [
        Figure(f"CPU of the server for a reply, {what}", served * 1e3, "ms", "without the engine's process"),
        Figure(f"CPU of the server for a refusal, {what}", refused * 1e3, "ms", "429"),
    ]


async def _cpu(client: httpx.AsyncClient, server: Running, tenant: str) -> float:
    """CPU seconds of a request, the mean of `COUNTED`."""
    before = _cpu_seconds(server)
    for number in range(COUNTED):
        await _ask(client, server.url, tenant, f"Sentence {number} that is counted.")
    return (_cpu_seconds(server) - before) / COUNTED


def _cpu_seconds(server: Running) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _quiet(server: Running, block: int, seconds: list[float]) -> int:
    """Requests at a steady rate, one after the other; adds the time of each. Returns how many failed."""
    failed = 0
    async with httpx.AsyncClient(timeout=60) as client:
        await _ask(client, server.url, QUIET, f"Begin block {block}.")
        began = time.perf_counter()
        for number in range(SAMPLES):
            await asyncio.sleep(max(0.0, began + number / QUIET_PER_SECOND - time.perf_counter()))
            asked = time.perf_counter()
            failed += (
                await _ask(client, server.url, QUIET, f"Block {block}, sentence {number} of the quiet team.") != 200
            )
            seconds.append(time.perf_counter() - asked)
    return failed


@asynccontextmanager
async def _noisy(server: Running, noise: Counter[int]) -> AsyncIterator[None]:
    """A process that sends many times the limit until the block ends; adds the statuses of its answers."""
    command = (sys.executable, "-m", "bench.shared_pools", server.url)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()  # it has begun
    try:
        yield
    finally:
        process.stdin.close()
        for status, times in json.loads(await process.stdout.read()).items():
            noise[int(status)] += times
        await process.wait()


async def _make_noise(url: str) -> None:
    """Send requests at a steady rate, whether or not the earlier ones are answered, until standard input ends."""
    statuses: Counter[int] = Counter()
    under_way: set[asyncio.Task[None]] = set()
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        statuses[await _ask(client, url, NOISY, f"Noise {time.time()} {number}.")] += 1

    async with httpx.AsyncClient(timeout=60) as client:
        began, number = time.perf_counter(), 0
        print("begun", flush=True)
        while not ended.done():
            under_way.add(task := asyncio.create_task(ask(client, number)))
            task.add_done_callback(under_way.discard)
            number += 1
            pause = number * 60 / (NOISY_PER_MINUTE * NOISY_TIMES)
            await asyncio.sleep(max(0.0, began + pause - time.perf_counter()))
        await asyncio.gather(*under_way)
    print(json.dumps(statuses))


async def _joining(server: Running) -> Figure:
    """Time from the change of the file to the first reply to the new tenant's key."""
    tenants = server.log.parent / "tenants"
    path = tenants / shard_file(shard_of(JOINER))
    content = json.loads(path.read_text())
    content["tenants"][JOINER] = _entry(JOINER)
    fresh = tenants / "fresh"
    fresh.write_text(json.dumps(content))
    fresh.rename(path)
    began = time.perf_counter()
    async with httpx.AsyncClient(timeout=60) as client:
        headers = {"Authorization": f"Bearer {_key(JOINER)}"}
        while (await client.get(f"{server.url}/v1/models", headers=headers)).status_code != 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
    return Figure(
        "from the change of a file to the new tenant's first answer", (time.perf_counter() - began) * 1e3, "ms"
    )


if __name__ == "__main__":
    asyncio.run(_make_noise(sys.argv[1]))
