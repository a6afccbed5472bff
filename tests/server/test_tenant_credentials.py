"""Credentials of the tenants that share a member pool, as they come, change and go; and what each of them opens."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from tests.support.server_app import RunningApp, ToneClient, config, running_app, until
from tts_server.app.build import Application, Sources
from tts_server.config.schema import AuthConfig, CacheConfig, PoolTenant, QuotaConfig, ServerConfig

OWN, BLUE, CORAL = "team-acme.acme", "team-blue.blue", "team-coral.coral"
TENANTS = (OWN, BLUE, CORAL)
SPEECH = {"model": "tone", "voice": "ann", "input": "Hello.", "response_format": "pcm"}


@dataclass
class Credentials:
    """Folders of all tenants, each with its credential."""

    folder: Path

    def of(self, tenant: str) -> Path:
        return self.folder / tenant

    def write(self, tenant: str, token: str) -> None:
        self.of(tenant).mkdir(exist_ok=True)
        (self.of(tenant) / "token").write_text(token)


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    made = Credentials(tmp_path)
    for tenant in TENANTS:
        made.write(tenant, f"credential of {tenant}")
    return made


def member(credentials: Credentials, tenants: tuple[str, ...] = (BLUE, CORAL), **changes: Any) -> ServerConfig:
    return config(
        credentials.folder,
        role="Member",
        auth=AuthConfig(internal_directory=credentials.of(OWN)),
        tenants=tuple(
            PoolTenant(name=name, weight=2 + number, internal_directory=credentials.of(name))
            for number, name in enumerate(tenants)
        ),
        **changes,
    )


@pytest.fixture
async def pool(credentials: Credentials) -> AsyncIterator[RunningApp]:
    async with running_app(member(credentials)) as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def ask(pool: RunningApp, token: str, **changes: Any) -> httpx.Response:
    return await pool.client.post("/v1/audio/speech", json=SPEECH | changes, headers=bearer(token))


async def statuses(pool: RunningApp) -> list[int]:
    """Status of a request of each tenant."""
    return [(await ask(pool, f"credential of {tenant}")).status_code for tenant in TENANTS]


async def test_each_credential_is_served_as_its_tenant_with_its_weight(pool: RunningApp) -> None:
    assert await statuses(pool) == [200, 200, 200]
    turns = [(turn.tenant, turn.weight) for turn in pool.engine_clients["tone"].turns]
    assert turns == [(OWN, 1.0), (BLUE, 2.0), (CORAL, 3.0)]


async def test_a_removed_credential_takes_only_its_tenant_out_and_a_new_one_brings_it_back(
    pool: RunningApp, credentials: Credentials
) -> None:
    (credentials.of(BLUE) / "token").unlink()
    with capture_logs() as lines:
        await pool.application.watcher.poll()
    assert [line["tenant"] for line in lines if line["event"] == "tenant rejected: credential missing"] == [BLUE]
    assert await statuses(pool) == [200, 401, 200]
    credentials.write(BLUE, "rotated")
    await pool.application.watcher.poll()
    assert await statuses(pool) == [200, 401, 200], "the old one is good no more"
    assert (await ask(pool, "rotated")).status_code == 200
    assert pool.engine_clients["tone"].turns[-1].tenant == BLUE


@pytest.mark.parametrize("tenant", TENANTS[1:])
async def test_a_folder_that_is_gone_takes_only_its_tenant_out(
    pool: RunningApp, credentials: Credentials, tenant: str
) -> None:
    shutil.rmtree(credentials.of(tenant))
    await pool.application.watcher.poll()
    assert await statuses(pool) == [401 if each == tenant else 200 for each in TENANTS]


async def test_a_credential_that_cannot_be_read_takes_only_its_tenant_out(
    pool: RunningApp, credentials: Credentials
) -> None:
    (credentials.of(CORAL) / "token").unlink()
    (credentials.of(CORAL) / "token").mkdir()
    with capture_logs() as lines:
        await pool.application.watcher.poll()
    assert [
        (line["tenant"], line["log_level"])
        for line in lines
        if line["event"] == "tenant rejected: credential unreadable"
    ] == [(CORAL, "error")]
    assert await statuses(pool) == [200, 200, 401]


async def test_what_is_wrong_with_the_pools_own_folder_keeps_nobody_in(
    pool: RunningApp, credentials: Credentials
) -> None:
    (credentials.of(BLUE) / "token").unlink()
    (credentials.of(OWN) / "token").unlink()
    (credentials.of(OWN) / "token").mkdir()
    await pool.application.watcher.poll()
    assert await statuses(pool) == [401, 401, 200]


@pytest.mark.parametrize(("one", "other"), [(BLUE, CORAL), (OWN, CORAL)])
async def test_of_two_with_the_same_credential_neither_is_served(
    pool: RunningApp, credentials: Credentials, one: str, other: str
) -> None:
    """Which of them asks nobody can tell: one would be spoken, and counted, as the other."""
    credentials.write(one, "the same\n")
    credentials.write(other, "the same")
    with capture_logs() as lines:
        await pool.application.watcher.poll()
    assert [line["tenants"] for line in lines if "same credential" in line["event"]] == [sorted([one, other])] * 2
    assert "the same\n" not in str(lines)
    third = next(tenant for tenant in TENANTS if tenant not in {one, other})
    assert await statuses(pool) == [200 if tenant == third else 401 for tenant in TENANTS]
    assert (await ask(pool, "the same")).status_code == 401
    credentials.write(other, "another")
    await pool.application.watcher.poll()
    for token, tenant in (("the same", one), ("another", other)):
        assert (await ask(pool, token)).status_code == 200
        assert pool.engine_clients["tone"].turns[-1].tenant == tenant


async def test_tenants_come_and_go_with_the_configuration(credentials: Credentials, tmp_path: Path) -> None:
    file = tmp_path / "server.json"

    def say(*tenants: str) -> ServerConfig:
        said = member(credentials, tenants)
        file.write_text(said.model_dump_json(by_alias=True))
        return said

    tone = ToneClient()
    application = Application(Sources(say(BLUE), QuotaConfig(), file), lambda _: tone)
    await application.start()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application.asgi), base_url="http://pool") as client:
        running = RunningApp(application, client)
        assert await statuses(running) == [200, 200, 401]
        say(CORAL)
        await application.watcher.poll()
        assert await statuses(running) == [200, 401, 200]
        assert tone.turns[-1].weight == 2.0
        (credentials.of(CORAL) / "token").write_text("rotated")
        await application.watcher.poll()
        assert (await ask(running, "rotated")).status_code == 200
    await application.stop()


async def test_a_tenant_that_the_configuration_lacks_is_out_though_its_credential_is_still_known(
    pool: RunningApp, credentials: Credentials
) -> None:
    await pool.application.server.show(member(credentials, (CORAL,)))
    assert await statuses(pool) == [200, 401, 200]


OTHER_ROUTES = [
    ("POST", "/v1/tts/synthesize"), ("GET", "/v1/usage"), ("GET", "/v1/models"), ("GET", "/v1/models/tone"),
    ("GET", "/v1/audio/voices"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OTHER_ROUTES)
async def test_speech_is_all_that_other_tenants_get(pool: RunningApp, method: str, path: str) -> None:
    """Everything else belongs to the pool's own tenant: its store, its counters, its names."""
    body = {"text": "Hello."} if method == "POST" else None
    replies = [
        await pool.client.request(method, path, json=body, headers=bearer(f"credential of {tenant}"))
        for tenant in TENANTS
    ]
    assert [reply.status_code for reply in replies] == [200, 403, 403]
    assert replies[1].json()["error"]["code"] == "permission_denied"
    assert pool.spoken == (method == "POST")
    assert BLUE not in replies[0].text


async def test_a_cache_here_is_the_pools_own_tenants_alone(credentials: Credentials) -> None:
    """A tenant neither gets another's cached audio nor learns of it by the time a reply takes."""
    async with running_app(member(credentials, cache=CacheConfig(enabled=True))) as pool:
        own, blue, coral = (f"credential of {tenant}" for tenant in TENANTS)
        heard = [(await ask(pool, token)).headers.get("x-tts-cache") for token in (own, own, blue, blue, coral, own)]
        assert heard == ["miss", "hit", None, None, None, "hit"]
        assert pool.spoken == 4


async def test_nobody_joins_the_flight_of_another_tenant(credentials: Credentials) -> None:
    async with running_app(member(credentials, cache=CacheConfig(enabled=True))) as pool:
        tone = pool.engine_clients["tone"]
        tone.gate.clear()
        asking = [asyncio.create_task(ask(pool, f"credential of {tenant}")) for tenant in TENANTS]
        await until(lambda: len(tone.spoken) == 3)
        inflight = generate_latest(pool.application.server.metrics.registry).decode()
        for tenant in TENANTS:
            assert f'tts_inflight_requests{{tenant="{tenant}"}} 1.0' in inflight
        tone.gate.set()
        assert [reply.status_code for reply in await asyncio.gather(*asking)] == [200] * 3
        assert sorted(turn.tenant for turn in tone.turns) == sorted(TENANTS)


async def test_what_is_said_of_a_request_names_the_tenant_that_was_served(pool: RunningApp) -> None:
    with capture_logs() as lines:
        await statuses(pool)
        await ask(pool, "somebody else's")
    said = [(line["tenant"], line["status"]) for line in lines if line["event"] == "request"]
    assert said == [(OWN, 200), (BLUE, 200), (CORAL, 200), (OWN, 401)]
    assert "credential of" not in str(lines)
    metrics = generate_latest(pool.application.server.metrics.registry).decode()
    for name in (
        "tts_request_latency_seconds_count",
        "tts_first_audio_seconds_count",
        "tts_first_byte_seconds_count",
        "tts_audio_seconds_total",
    ):
        for tenant in TENANTS:
            assert f'{name}{{model="tone",tenant="{tenant}"}}' in metrics
