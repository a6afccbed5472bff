"""One member pool for several tenants: over real HTTP, from the speakers of their entry pools to one engine process.

Who was served when is the engine's own list of what it was asked, never a clock.
"""

import asyncio
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest

from tests.support.listening_app import listening
from tests.support.recording_engine import FOLDER, HOLD, SPOKEN
from tests.support.server_process import running
from tests.support.timeouts import HANG_SECONDS
from tests.support.worker_pools import rest_of, until
from tts_server.app.build import Application, Sources
from tts_server.config.schema import (
    AuthConfig,
    AuthMode,
    ModelConfig,
    PoolEngine,
    PoolTenant,
    Precision,
    QuotaConfig,
    ServerConfig,
    StorageConfig,
    VoiceConfig,
)
from tts_server.errors import Overloaded
from tts_server.inference.client import Utterance
from tts_server.inference.pool import dispatcher
from tts_server.inference.pool.worker_pool import WorkerPool
from tts_server.inference.remote import RemoteEngineClient
from tts_server.scheduling.fair_queue import Priority, SchedulingParams
from tts_server.text.duration_estimate import LETTER_SECONDS

WEIGHTS = {"team-acme.acme": 1.0, "team-blue.blue": 3.0, "team-coral.coral": 10.0}
ACME, BLUE, CORAL = WEIGHTS
MODEL = ModelConfig(
    name="heavy", voices=(VoiceConfig(name="beep"),), precision=Precision.FP32, first_audio_timeout_seconds=600
)
BATCH = SchedulingParams(priority=Priority.BATCH)
TURN = SchedulingParams()


def internal(folder: Path, tenant: str) -> Path:
    """The folder from which both sides read a tenant's credential."""
    directory = folder / f"internal-{tenant}"
    directory.mkdir(exist_ok=True)
    (directory / "token").write_text(f"credential of {tenant}\n")
    return directory


@dataclass
class Platform:
    """A member pool behind a port, with one engine process, and the entry pools' speakers of three tenants."""

    folder: Path
    url: str
    application: Application
    pool: WorkerPool
    entries: dict[str, RemoteEngineClient] = field(default_factory=dict)
    asked: list[asyncio.Task[None]] = field(default_factory=list)

    async def asks(self, tenant: str, text: str, turn: SchedulingParams = TURN) -> None:
        """Return once it waits, or is spoken: what is asked first has arrived first."""
        waiting, spoken = self.pool.waiting, len(self.spoken)
        self.asked.append(asyncio.create_task(rest_of(self.entries[tenant].speak(Utterance(text, "beep"), turn))))
        await until(lambda: (self.pool.waiting, len(self.spoken)) != (waiting, spoken) or self.asked[-1].done())

    async def holds(self, tenant: str, number: int) -> None:
        """The engine is kept from here on."""
        await self.asks(tenant, f"{HOLD} {number}")

    async def goes_on(self, number: int) -> None:
        """The engine is free again."""
        await until(lambda: self.spoken[-1:] == [f"{HOLD} {number}"])
        (self.folder / f"{HOLD} {number}").touch()

    async def has_answered(self) -> list[str]:
        """Everything that was asked, as the engine was."""
        async with asyncio.timeout(60):
            await asyncio.gather(*self.asked)
        return self.spoken

    @property
    def spoken(self) -> list[str]:
        """Texts that the engine has begun, without its warm-up."""
        lines = (self.folder / SPOKEN).read_text().splitlines()
        return [line for line in lines if line.startswith((HOLD, "team-"))]

    @property
    def metrics(self) -> str:
        return generate_latest(self.application.server.metrics.registry).decode()


@asynccontextmanager
async def platform(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> AsyncIterator[Platform]:
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.setattr(dispatcher, "PREFETCH_SECONDS", -3600.0)  # nobody is told ahead: that is test_told_ahead's
    directories = {tenant: internal(folder, tenant) for tenant in WEIGHTS}
    tenants = tuple(
        PoolTenant(name=tenant, weight=weight, internal_directory=directories[tenant])
        for tenant, weight in WEIGHTS.items()
        if tenant != ACME
    )
    settings: dict[str, Any] = {
        "tenant": ACME, "role": "Member", "models": (MODEL,), "tenants": tenants, "max_wait_seconds": 3600,
        "batch_ages_after_seconds": 3600, "auth": AuthConfig(internal_directory=directories[ACME]),
        "storage": StorageConfig(directory=folder / "audio"),
    }  # fmt: skip
    pools: list[WorkerPool] = []

    def engine(model: ModelConfig) -> WorkerPool:
        metrics = application.server.metrics
        pools.append(
            WorkerPool(
                "tests.support.recording_engine:RecordingEngine",
                first_audio_timeout_seconds=600,
                on_wait=lambda tenant, seconds: metrics.queue_wait_of(tenant, model.name).observe(seconds),
                on_depth=lambda tenant, depth: metrics.queue_depth_of(tenant, model.name).set(depth),
            )
        )
        return pools[-1]

    application = Application(Sources(ServerConfig(**settings | changes), QuotaConfig(requests_per_day=1)), engine)
    await application.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(application.stop)
        port = await stack.enter_async_context(listening(application))
        found = Platform(folder, f"http://127.0.0.1:{port}", application, pools[0])
        for tenant in WEIGHTS:
            token = f"credential of {tenant}"
            entry = RemoteEngineClient(found.url, "heavy", token=partial(str, token), first_audio_timeout_seconds=600)
            await entry.start()
            stack.push_async_callback(entry.stop)
            found.entries[tenant] = entry
        yield found


@pytest.fixture
async def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
    async with platform(tmp_path, monkeypatch) as found:
        yield found


def texts(tenant: str, count: int) -> list[str]:
    """Texts of several lengths; the name is long enough to tell whose they are."""
    return [tenant.ljust(20 + 15 * (number % 3), ".") + f"{number:03}" for number in range(count)]


def owner(text: str) -> str:
    return next(tenant for tenant in WEIGHTS if text.startswith(tenant))


def assert_shares_are_weights(spoken: list[str], tenants: tuple[str, ...]) -> None:
    """As long as each of them waits: at no time does anybody lead by more than its longest utterance, and another's.

    Goyal, Vin, Cheng 1996, theorem 1.
    """
    left = {tenant: sum(owner(text) == tenant for text in spoken) for tenant in tenants}
    longest = max(map(len, spoken))
    served: dict[str, float] = defaultdict(float)
    compared = 0
    for text in spoken:
        if not all(left.values()):
            break
        left[owner(text)] -= 1
        served[owner(text)] += len(text)
        compared += 1
        shares = {tenant: served[tenant] / WEIGHTS[tenant] for tenant in tenants}
        for one in tenants:
            for other in tenants:
                bound = longest / WEIGHTS[one] + longest / WEIGHTS[other]
                assert abs(shares[one] - shares[other]) <= bound + 1e-6, (compared, dict(served))
    assert compared >= 40, "long enough for the lightest to have had its turn"


async def test_while_all_of_them_wait_each_is_spoken_by_its_weight(fleet: Platform) -> None:
    await fleet.holds(ACME, 1)
    for tenant in WEIGHTS:
        for text in texts(tenant, 40):
            fleet.asked.append(asyncio.create_task(rest_of(fleet.entries[tenant].speak(Utterance(text, "beep")))))
    await until(lambda: fleet.pool.waiting == 120, seconds=240)
    for tenant in WEIGHTS:
        assert f'tts_queue_depth{{model="heavy",tenant="{tenant}"}} 40.0' in fleet.metrics
    await fleet.goes_on(1)
    spoken = (await fleet.has_answered())[1:]
    assert len(spoken) == 120
    assert_shares_are_weights(spoken, tuple(WEIGHTS))
    first = [owner(text) for text in spoken[:42]]
    for tenant, count in {ACME: 3, BLUE: 9, CORAL: 30}.items():
        assert abs(first.count(tenant) - count) <= 2, first
    for tenant in WEIGHTS:
        waited = 41 if tenant == ACME else 40
        assert f'tts_queue_wait_seconds_count{{model="heavy",tenant="{tenant}"}} {waited}.0' in fleet.metrics
        answered = f'tts_requests_total{{model="heavy",status_code="200",tenant="{tenant}",voice="beep"}} {waited}.0'
        await until(lambda answered=answered: answered in fleet.metrics)  # type: ignore[misc]
        assert f'tts_inflight_requests{{tenant="{tenant}"}} 0.0' in fleet.metrics


async def test_what_an_idle_tenant_leaves_goes_to_the_others_and_earns_it_nothing(fleet: Platform) -> None:
    """Coral is idle, acme and blue are spoken 1 : 3. It comes, and is spoken 10 : 1 from then on, not for the past."""
    await fleet.holds(ACME, 1)
    for tenant in (ACME, BLUE):
        for text in texts(tenant, 20):
            await fleet.asks(tenant, text)
    await fleet.holds(BLUE, 2)
    for text in texts(BLUE, 8):
        await fleet.asks(BLUE, text)
    await fleet.goes_on(1)
    await until(lambda: fleet.spoken[-1] == f"{HOLD} 2")
    before = fleet.spoken[1:-1]
    for text in texts(CORAL, 20):
        await fleet.asks(CORAL, text)
    await fleet.goes_on(2)
    after = (await fleet.has_answered())[len(before) + 2 :]
    acme, blue = (sum(len(text) for text in before if owner(text) == tenant) for tenant in (ACME, BLUE))
    assert blue == sum(map(len, texts(BLUE, 20)))
    assert abs(acme - blue / 3) <= 53 + 53 / 3
    first = [owner(text) for text in after[:14]]
    assert abs(first.count(CORAL) - 10) <= 2, first
    assert ACME in first[:12], "what coral did not use is not owed to it"


async def test_a_flood_delays_another_tenants_word_by_what_is_being_spoken_and_no_more(fleet: Platform) -> None:
    await fleet.holds(CORAL, 1)
    flood = texts(CORAL, 20)
    await fleet.asks(CORAL, flood[0])
    await fleet.holds(CORAL, 2)
    for text in flood[1:]:
        await fleet.asks(CORAL, text)
    await fleet.goes_on(1)
    await until(lambda: fleet.spoken[-1] == f"{HOLD} 2")
    await fleet.asks(ACME, f"{ACME}: one word")
    await fleet.goes_on(2)
    spoken = await fleet.has_answered()
    assert spoken[:4] == [f"{HOLD} 1", flood[0], f"{HOLD} 2", f"{ACME}: one word"]


async def test_a_flood_is_refused_for_its_wait_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would wait for its own: the flood's last for all of the flood, another tenant's first for one utterance."""
    async with platform(tmp_path, monkeypatch, max_wait_seconds=100) as fleet:
        fleet.pool._dispatcher.throughput.observe(LETTER_SECONDS, 1.0)  # a second for each character
        await fleet.holds(CORAL, 1)
        flood = [CORAL.ljust(40, ".")] * 3
        for text in flood:
            await fleet.asks(CORAL, text)
        with pytest.raises(Overloaded):
            await rest_of(fleet.entries[CORAL].speak(Utterance(flood[0], "beep")))
        await fleet.asks(ACME, f"{ACME}: one word")
        await fleet.goes_on(1)
        assert f"{ACME}: one word" in (await fleet.has_answered())[:3]


async def test_interactive_work_of_any_tenant_goes_before_batch_of_any_weight(fleet: Platform) -> None:
    await fleet.holds(ACME, 1)
    for text in texts(CORAL, 5):
        await fleet.asks(CORAL, text, BATCH)
    for text in texts(ACME, 5):
        await fleet.asks(ACME, text)
    await fleet.goes_on(1)
    assert [owner(text) for text in (await fleet.has_answered())[1:]] == [ACME] * 5 + [CORAL] * 5


async def test_callers_of_two_tenants_are_served_through_their_entry_pools(fleet: Platform, tmp_path: Path) -> None:
    """Each entry admits its own callers and counts them; the member pool tells the tenants apart, and counts nobody."""
    statuses: dict[str, list[int]] = {}
    for tenant, key in ((BLUE, "key-of-blue"), (CORAL, "key-of-coral")):
        folder = tmp_path / tenant
        (folder / "keys").mkdir(parents=True)
        (folder / "keys" / "app").write_text(hashlib.sha256(key.encode()).hexdigest())
        auth = AuthConfig(
            modes=(AuthMode.API_KEY,), keys_directory=folder / "keys",
            internal_directory=tmp_path / f"internal-{tenant}",
        )  # fmt: skip
        entry = Application(
            Sources(
                ServerConfig(
                    tenant=tenant, auth=auth, storage=StorageConfig(directory=folder / "audio"),
                    models=(MODEL.model_copy(update={"engine": PoolEngine(url=fleet.url)}),),
                ),
                QuotaConfig(requests_per_minute=2),
            )
        )  # fmt: skip
        await entry.start()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(entry.asgi), base_url="http://entry") as caller:
            for _ in range(3):
                body = {"model": "heavy", "voice": "beep", "input": f"{tenant} says.", "response_format": "wav"}
                headers = {"Authorization": f"Bearer {key}"}
                reply = await caller.post("/v1/audio/speech", json=body, headers=headers)
                statuses.setdefault(tenant, []).append(reply.status_code)
        await entry.stop()
    assert statuses == {BLUE: [200, 200, 429], CORAL: [200, 200, 429]}
    for tenant in (BLUE, CORAL):
        answered = f'tts_requests_total{{model="heavy",status_code="200",tenant="{tenant}",voice="beep"}} 2.0'
        await until(lambda answered=answered: answered in fleet.metrics)  # type: ignore[misc]
    assert fleet.application.server.metrics.requests.labels(ACME, "heavy", "beep", "200")._value.get() == 0


def test_a_pool_that_tts_server_runs_tells_its_tenants_apart(tmp_path: Path) -> None:
    """From `server.json` to the log: what stands there is a tenant's name, never its credential."""
    directories = {tenant: internal(tmp_path, tenant) for tenant in (ACME, BLUE, CORAL)}
    (directories[CORAL] / "token").unlink()
    settings = {
        "tenant": ACME,
        "role": "Member",
        "models": [{"name": "heavy", "voices": [{"name": "en-us"}]}],
        "auth": {"internalDirectory": str(directories[ACME])},
        "tenants": [
            {"name": BLUE, "weight": 3, "internalDirectory": str(directories[BLUE])},
            {"name": CORAL, "weight": 10, "internalDirectory": str(directories[CORAL])},
        ],
        "storage": {"directory": str(tmp_path / "audio")},
    }
    (tmp_path / "server.json").write_text(json.dumps(settings))
    with running(tmp_path, f"--config={tmp_path / 'server.json'}") as member:
        statuses = {}
        for tenant in (ACME, BLUE, CORAL, "nobody"):
            body = {"model": "heavy", "voice": "en-us", "input": "Yes.", "response_format": "pcm"}
            headers = {"Authorization": f"Bearer credential of {tenant}"}
            statuses[tenant] = httpx.post(
                f"{member.url}/v1/audio/speech", json=body, headers=headers, timeout=HANG_SECONDS
            ).status_code
        assert statuses == {ACME: 200, BLUE: 200, CORAL: 401, "nobody": 401}
        deadline = time.monotonic() + HANG_SECONDS  # a reply is there before its line is
        while len(said := [line for line in member.lines() if line["event"] == "request"]) < len(statuses):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # Whom nobody has let in is the pool's own affair.
        assert [(line["tenant"], line["status"]) for line in said] == [
            (ACME, 200), (BLUE, 200), (ACME, 401), (ACME, 401),
        ]  # fmt: skip
        metrics = member.metrics()
        assert f'tts_requests_total{{model="heavy",status_code="200",tenant="{BLUE}",voice="en-us"}} 1.0' in metrics
        assert "credential of" not in member.log.read_text() + metrics
        digest = hashlib.sha256(f"credential of {BLUE}".encode()).hexdigest()
        assert digest not in member.log.read_text() + metrics
