"""One process, several tenants: each by its own key, with limits, cache, usage, links, names and metrics of its own."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.listening_app import listening
from tests.support.mounted_volume import MountedVolume
from tests.support.redis_server import counter_store
from tests.support.replicas import OTHER, OWNER
from tests.support.server_app import ToneClient, running_app, until
from tests.support.shared_pool import (
    ACME,
    BLUE,
    CACHED,
    Files,
    Pool,
    bearer,
    cache_of,
    digest,
    entry,
    key_of,
    pool_config,
    shared_pool,
)
from tts_server.config.schema import RedisConfig, ServerConfig, StorageConfig
from tts_server.config.shared_tenants import shard_file, shard_of

BOTH = {ACME: entry(ACME), BLUE: entry(BLUE)}
TOKENS = {"authModes": ["APIKey", "JWT"]}


def both(**changes: Any) -> dict[str, dict[str, Any]]:
    return {name: entry(name, **changes) for name in (ACME, BLUE)}


async def token(pool: Pool, tenant: str) -> dict[str, Any]:
    reply = await pool.app.client.post("/v1/auth/token", headers=bearer(key_of(tenant)))
    assert reply.status_code == 200, reply.text
    content: dict[str, Any] = reply.json()
    return content


async def test_a_key_speaks_for_its_tenant_and_an_unknown_one_for_nobody(tmp_path: Path) -> None:
    engine = ToneClient()
    async with shared_pool(tmp_path, BOTH, engine) as pool:
        assert (await pool.asks(ACME)).status_code == 200
        assert (await pool.asks(BLUE)).status_code == 200
        assert [turn.tenant for turn in engine.turns] == [ACME, BLUE]
        assert (await pool.gets(ACME, "/v1/usage")).json()["tenant"] == ACME
        stranger = await pool.asks("team-nobody.nobody")
        assert (stranger.status_code, stranger.json()["error"]["message"]) == (401, "The API key is unknown.")
        assert (await pool.app.speech()).status_code == 401
        assert (await pool.app.client.get("/v1/models")).status_code == 401


async def test_limits_and_usage_are_each_tenants_own(tmp_path: Path) -> None:
    tenants = {ACME: entry(ACME, quota={"requestsPerMinute": 2}), BLUE: entry(BLUE, quota={"requestsPerMinute": 5})}
    async with shared_pool(tmp_path, tenants) as pool:
        assert [(await pool.asks(ACME)).status_code for _ in range(4)] == [200, 200, 429, 429]
        quiet = await pool.asks(BLUE)
        assert quiet.status_code == 200
        assert quiet.headers["ratelimit"].startswith('"requestsPerMinute";r=4')
        usage = (await pool.gets(BLUE, "/v1/usage")).json()
        assert (usage["total"]["requests"], usage["limits"]["requestsPerMinute"]["remaining"]) == (1, 4)
        assert (await pool.gets(ACME, "/v1/usage")).json()["total"]["requests"] == 2
        assert f'tts_quota_refusals_total{{quota="requestsPerMinute",tenant="{ACME}"}} 2.0' in pool.metrics
        assert f'tts_quota_refusals_total{{quota="requestsPerMinute",tenant="{BLUE}"}}' not in pool.metrics


async def test_a_tenant_at_20_times_its_rate_is_refused_and_the_quiet_one_is_served(tmp_path: Path) -> None:
    engine = ToneClient()
    tenants = {ACME: entry(ACME, quota={"requestsPerMinute": 10}), BLUE: entry(BLUE)}
    async with shared_pool(tmp_path, tenants, engine) as pool:
        noisy = [(await pool.asks(ACME, f"Number {n}.")).status_code for n in range(200)]
        quiet = [(await pool.asks(BLUE, f"Number {n}.")).status_code for n in range(20)]
    assert (noisy.count(200), noisy.count(429)) == (10, 190)
    assert quiet == [200] * 20
    assert len(engine.turns) == 30


async def test_what_one_tenant_has_heard_is_no_hit_for_another(tmp_path: Path) -> None:
    engine = ToneClient()
    async with shared_pool(tmp_path, both(cache=CACHED), engine) as pool:
        assert [cache_of(await pool.asks(ACME)) for _ in range(2)] == ["miss", "hit"]
        assert cache_of(await pool.asks(BLUE)) == "miss"
        assert len(engine.spoken) == 2


async def test_identical_requests_of_two_tenants_at_once_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Else a tenant could hear from the time of its reply what another is asking for."""
    engine = ToneClient()
    engine.gate.clear()
    async with shared_pool(tmp_path, both(cache=CACHED), engine) as pool:
        replies = [asyncio.create_task(pool.asks(tenant)) for tenant in (ACME, ACME, BLUE)]
        await until(lambda: len(engine.spoken) == 2)  # the second request of the first tenant joins its first
        engine.gate.set()
        assert [(await reply).status_code for reply in replies] == [200] * 3
        assert sorted(turn.tenant for turn in engine.turns) == [ACME, BLUE]


async def test_a_full_cache_of_one_tenant_leaves_the_entries_of_another(tmp_path: Path) -> None:
    async with shared_pool(tmp_path, both(cache=CACHED)) as pool:
        await pool.asks(BLUE)
        for number in range(400):  # 3 kB each, of 1 MiB together
            await pool.asks(ACME, f"Number {number}.")
        tenants = pool.app.application.server.tenants
        assert tenants is not None
        assert cache_of(await pool.asks(BLUE)) == "hit"
        assert cache_of(await pool.asks(ACME, "Number 0.")) == "miss"
        cached = next(
            float(line.split()[1]) for line in pool.metrics.splitlines() if line.startswith("tts_cache_bytes ")
        )
        assert 0 < cached <= 1024 * 1024


async def test_a_link_is_of_its_tenant_and_no_other_name_opens_it(tmp_path: Path) -> None:
    async with shared_pool(tmp_path, BOTH) as pool:
        body = {"text": "Hello.", "voice": "ann", "model": "tone"}
        links = {}
        for tenant in BOTH:
            reply = await pool.app.client.post("/v1/tts/synthesize", json=body, headers=bearer(key_of(tenant)))
            links[tenant] = reply.json()["audio_url"]
            assert f"/v1/tts/audio/{tenant}/" in links[tenant]
        assert [(await pool.app.client.get(link)).status_code for link in links.values()] == [200, 200]
        assert (await pool.app.client.get(links[ACME].replace(ACME, BLUE))).status_code == 403
        assert (await pool.app.client.get(links[ACME].replace(ACME, "team-nobody.nobody"))).status_code == 403
        await pool.changes(**{ACME: None})
        assert [(await pool.app.client.get(link)).status_code for link in links.values()] == [403, 200]


async def test_links_begin_with_the_tenants_own_address(tmp_path: Path) -> None:
    tenants = {ACME: entry(ACME, publicUrl="https://speech.example/acme"), BLUE: entry(BLUE)}
    async with shared_pool(tmp_path, tenants) as pool:
        body = {"text": "Hello.", "voice": "ann", "model": "tone"}
        for tenant, origin in ((ACME, "https://speech.example/acme/"), (BLUE, "http://acme.test/")):
            reply = await pool.app.client.post("/v1/tts/synthesize", json=body, headers=bearer(key_of(tenant)))
            assert reply.json()["audio_url"].startswith(f"{origin}v1/tts/audio/{tenant}/")


async def test_names_voices_and_precisions_are_each_tenants_own(tmp_path: Path) -> None:
    tenants = {
        ACME: entry(ACME, modelAliases={"tts-1": "tone"}, voiceAliases={"alloy": "bob"}, precision="int8"),
        BLUE: entry(BLUE, languageRouting=[{"language": "default", "voice": "mei"}], allowedPrecisions=["fp32"]),
    }
    engine = ToneClient()
    async with shared_pool(tmp_path, tenants, engine) as pool:
        assert (await pool.asks(ACME, model="tts-1", voice="alloy")).headers["x-tts-voice"] == "tone/bob"
        assert engine.spoken[0].precision == "int8"
        assert (await pool.asks(BLUE, model="tts-1", voice="alloy")).status_code == 404
        names = (await pool.gets(BLUE, "/v1/audio/voices")).json()["voices"]
        assert "alloy" not in {name["id"] for name in names}
        body = {"text": "Hello.", "options": {"precision": "int8"}, "model": "tone"}
        refused = await pool.app.client.post("/v1/tts/synthesize", json=body, headers=bearer(key_of(BLUE)))
        assert (refused.status_code, "Allowed: fp32." in refused.text) == (400, True)


async def test_a_token_of_one_tenant_is_worth_nothing_at_another(tmp_path: Path) -> None:
    async with shared_pool(tmp_path, {ACME: entry(ACME, **TOKENS), BLUE: entry(BLUE, **TOKENS)}) as pool:
        granted = await token(pool, ACME)
        usage = await pool.app.client.get("/v1/usage", headers=bearer(granted["access_token"]))
        assert (usage.status_code, usage.json()["tenant"]) == (200, ACME)
        refresh = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
        stolen = await pool.app.client.post("/v1/auth/token", json=refresh, headers=bearer(key_of(BLUE)))
        assert (stolen.status_code, stolen.json()["error"]["code"]) == (400, "invalid_grant")
        renewed = (await pool.app.client.post("/v1/auth/token", json=refresh)).json()
        usage = await pool.app.client.get("/v1/usage", headers=bearer(renewed["access_token"]))
        assert usage.json()["tenant"] == ACME
        assert (await pool.app.client.get("/.well-known/jwks.json")).status_code == 200
        await pool.changes(**{ACME: None})
        gone = await pool.app.client.get("/v1/usage", headers=bearer(granted["access_token"]))
        assert gone.status_code == 401


async def test_a_tenant_without_tokens_refuses_those_that_the_pool_has_signed(tmp_path: Path) -> None:
    async with shared_pool(tmp_path, {ACME: entry(ACME, **TOKENS), BLUE: entry(BLUE)}) as pool:
        granted = (await token(pool, ACME))["access_token"]
        assert (await pool.app.client.post("/v1/auth/token", headers=bearer(key_of(BLUE)))).status_code == 404
        await pool.changes(**{ACME: entry(ACME)})
        assert (await pool.app.client.get("/v1/usage", headers=bearer(granted))).status_code == 401


async def test_joining_leaving_and_changing_are_heard_without_a_restart(tmp_path: Path) -> None:
    engine = ToneClient()
    async with shared_pool(tmp_path, {ACME: entry(ACME)}, engine) as pool:
        assert (await pool.asks(BLUE)).status_code == 401
        await pool.changes(**{BLUE: entry(BLUE)})
        assert (await pool.asks(BLUE)).status_code == 200
        await pool.changes(**{BLUE: entry(BLUE, keys={"app": digest("tts_another")})})
        assert (await pool.asks(BLUE)).status_code == 401
        await pool.changes(**{BLUE: entry(BLUE, quota={"maxTextCharacters": 3})})
        assert (await pool.asks(BLUE)).status_code == 400
        assert "team-blue.blue" in pool.metrics
        await pool.changes(**{BLUE: None})
        assert (await pool.asks(BLUE)).status_code == 401
        assert "team-blue.blue" not in pool.metrics
        assert (await pool.asks(ACME)).status_code == 200
        assert engine.ready


async def test_a_change_of_one_tenant_leaves_another_of_the_same_file_its_state(tmp_path: Path) -> None:
    neighbour = next(name for n in range(1000) if shard_of(name := f"team-{n}.coral") == shard_of(ACME))
    tenants = {ACME: entry(ACME, cache=CACHED), neighbour: entry(neighbour)}
    async with shared_pool(tmp_path, tenants) as pool:
        assert cache_of(await pool.asks(ACME)) == "miss"
        before = pool.app.application.server.tenants
        assert before is not None
        server = before.named(ACME)
        assert server is not None
        snapshot = server.snapshot
        await pool.changes(**{neighbour: entry(neighbour, weight=10)})
        assert server.snapshot is snapshot
        assert cache_of(await pool.asks(ACME)) == "hit"


async def test_a_namesake_inherits_nothing(tmp_path: Path) -> None:
    limited = entry(ACME, cache=CACHED, quota={"requestsPerDay": 1}, **TOKENS)
    async with shared_pool(tmp_path, {ACME: limited}) as pool:
        body = {"text": "Hello.", "voice": "ann", "model": "tone"}
        reply = await pool.app.client.post("/v1/tts/synthesize", json=body, headers=bearer(key_of(ACME)))
        link, granted = reply.json()["audio_url"], (await token(pool, ACME))["access_token"]
        assert (await pool.asks(ACME)).status_code == 429
        await pool.changes(**{ACME: None})
        await pool.changes(**{ACME: limited})  # the same tenant: so are its counts
        assert (await pool.asks(ACME)).status_code == 429
        assert (await pool.app.client.get(link)).status_code == 200
        await pool.changes(**{ACME: limited | {"uid": "another"}})
        assert cache_of(await pool.asks(ACME)) == "miss"
        assert (await pool.app.client.get(link)).status_code == 403
        assert (await pool.app.client.get("/v1/usage", headers=bearer(granted))).status_code == 401


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a key that is no digest": ({"keys": {"app": "tts_plain"}}, "keys.app"),
    "an unknown field": ({"qouta": {}}, "qouta: unknown field"),
    "no credential": ({"authModes": ["None"]}, "authModes"),
    "a limit below one": ({"quota": {"requestsPerMinute": 0}}, "quota.requestsPerMinute"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_entry_hurts_only_its_tenant_and_is_told(
    tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, told = BROKEN[case]
    neighbour = next(name for n in range(1000) if shard_of(name := f"team-{n}.coral") == shard_of(ACME))
    async with shared_pool(tmp_path, {ACME: entry(ACME), neighbour: entry(neighbour)}) as pool:
        await pool.changes(**{ACME: entry(ACME, **change), neighbour: entry(neighbour, quota={"requestsPerDay": 1})})
        assert (await pool.asks(ACME)).status_code == 200  # by its last good entry
        assert [(await pool.asks(neighbour)).status_code for _ in range(2)] == [200, 429]
        assert 'tts_config_loads_total{file="tenants",outcome="refused"} 1.0' in pool.metrics
    said = capsys.readouterr().out
    assert told in said
    assert "tts_plain" not in said


async def test_a_file_that_cannot_be_read_keeps_its_tenants(tmp_path: Path) -> None:
    async with shared_pool(tmp_path, BOTH) as pool:
        loads = pool.loads
        (pool.files.directory / shard_file(shard_of(ACME))).write_text("{")
        await until(lambda: pool.loads > loads)
        assert (await pool.asks(ACME)).status_code == 200
        await pool.changes(**{ACME: entry(ACME, quota={"requestsPerDay": 2})})
        assert [(await pool.asks(ACME)).status_code for _ in range(2)] == [200, 429]


async def test_a_key_that_two_tenants_list_is_accepted_for_neither(tmp_path: Path) -> None:
    """A tenant that has got hold of another's digest cannot get its requests."""
    async with shared_pool(tmp_path, BOTH) as pool:
        keys = {"app": digest(key_of(ACME)), "own": digest(key_of(BLUE))}
        await pool.changes(**{BLUE: entry(BLUE, keys=keys)})
        assert (await pool.asks(ACME)).status_code == 401
        assert (await pool.asks(BLUE)).status_code == 200
        await pool.changes(**{BLUE: entry(BLUE)})
        assert (await pool.asks(ACME)).status_code == 200


async def test_weights_reach_the_queue_of_the_engines(tmp_path: Path) -> None:
    engine = ToneClient()
    async with shared_pool(tmp_path, {ACME: entry(ACME, weight=1), BLUE: entry(BLUE, weight=100)}, engine) as pool:
        await pool.asks(ACME)
        await pool.asks(BLUE)
        assert [(turn.tenant, turn.weight) for turn in engine.turns] == [(ACME, 1.0), (BLUE, 100.0)]


async def test_names_that_the_pool_lacks_are_ignored_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = entry(ACME, voiceAliases={"alloy": "nobody", "ash": "ann"}, modelAliases={"tts-1": "none"})
    async with shared_pool(tmp_path, {ACME: lost}) as pool:
        assert (await pool.asks(ACME, voice="ash")).status_code == 200
        assert (await pool.asks(ACME, voice="alloy")).status_code == 400
    assert "model_aliases=['tts-1'] tenant=team-acme.acme voice_aliases=['alloy']" in capsys.readouterr().out


async def test_a_change_of_the_pool_reaches_its_tenants_and_drops_no_request(tmp_path: Path) -> None:
    engine = ToneClient()
    engine.gate.clear()
    async with shared_pool(tmp_path, BOTH, engine) as pool:
        server = pool.app.application.server
        running = asyncio.create_task(pool.asks(ACME))
        await until(lambda: engine.spoken)
        assert server.snapshot is not None
        config = server.snapshot.config
        other = config.model_copy(update={"models": config.models[1:]})
        await server.show(other)
        assert (await pool.asks(BLUE)).status_code == 404  # the model is gone
        assert (await pool.asks(BLUE, "你好", model="bass", voice="mei")).status_code == 200
        assert engine.ready  # for the request that began before
        engine.gate.set()
        assert (await running).status_code == 200
        await until(lambda: not engine.ready)


async def test_replicas_count_each_tenants_requests_together(tmp_path: Path) -> None:
    tenants = {
        ACME: entry(ACME, quota={"requestsPerMinute": 3}, **TOKENS),
        BLUE: entry(BLUE, quota={"requestsPerDay": 3}),
    }
    one, two = tmp_path / "one", tmp_path / "two"
    with counter_store() as valkey:
        settings: dict[str, Any] = {"redis": RedisConfig(url=valkey.url), "max_replicas": 2}
        one.mkdir()
        two.mkdir()
        async with shared_pool(one, tenants, **settings) as here, shared_pool(two, tenants, **settings) as there:
            assert [(await pool.asks(ACME)).status_code for pool in (here, there, here)] == [200, 200, 200]
            assert [(await pool.asks(ACME)).status_code for pool in (here, there)] == [429, 429]
            assert [(await pool.asks(BLUE)).status_code for pool in (here, there, here, there)] == [200, 200, 200, 429]
            refresh = {"grant_type": "refresh_token", "refresh_token": (await token(here, ACME))["refresh_token"]}
            renewed = await there.app.client.post("/v1/auth/token", json=refresh)
            assert renewed.status_code == 200
            assert (await here.app.client.post("/v1/auth/token", json=refresh)).status_code == 400  # it is spent


async def test_any_replica_hands_out_a_tenants_audio_of_another_one(tmp_path: Path) -> None:
    tenants, one, two = both(), tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    async with shared_pool(one, tenants, replica=OWNER) as owner, listening(owner.app.application) as port:
        storage = StorageConfig(directory=two / "audio", peers_url=f"http://localhost:{port}")
        async with shared_pool(two, tenants, replica=OTHER, storage=storage) as other:
            body = {"text": "Hello.", "voice": "ann", "model": "tone"}
            reply = await owner.app.client.post("/v1/tts/synthesize", json=body, headers=bearer(key_of(ACME)))
            link = reply.json()["audio_url"]
            assert (await other.app.client.get(link)).status_code == 200
            assert (await other.app.client.get(link.replace(ACME, BLUE))).status_code == 403


async def test_a_volume_that_the_kubelet_swaps_is_heard(tmp_path: Path) -> None:
    """All 16 files are replaced at once; those whose bytes are the same are not read anew."""
    volume = MountedVolume(tmp_path / "tenants")
    other = next(name for n in range(1000) if shard_of(name := f"team-{n}.coral") != shard_of(ACME))
    first, second = shard_file(shard_of(ACME)), shard_file(shard_of(other))
    same = json.dumps({"tenants": {ACME: entry(ACME)}})
    volume.write(**{first: same})
    async with running_app(pool_config(tmp_path), tone=ToneClient()) as app:
        pool = Pool(app, Files(volume.directory))
        assert (await pool.asks(ACME)).status_code == 200
        assert (await pool.asks(other)).status_code == 401
        loads = pool.loads
        volume.write(**{first: same, second: json.dumps({"tenants": {other: entry(other)}})})
        await until(lambda: pool.loads > loads)
        assert (await pool.asks(other)).status_code == 200
        assert pool.loads == loads + 1


S3 = {
    "endpoint": "https://s3.example", "bucket": "speech", "pathStyle": True,
    "accessKeyFile": "/x/a", "secretKeyFile": "/x/s",
}  # fmt: skip
SHARED = {"role": "Shared", "tenantsDirectory": "/x", "auth": {"modes": ["APIKey"]}}
ISSUER = {"jwksUrl": "https://login.example/keys", "issuer": "i", "audience": "a"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no folder of tenants": (SHARED | {"tenantsDirectory": None}, "tenantsDirectory"),
    "a folder of tenants for another role": ({"tenantsDirectory": "/x"}, "tenantsDirectory"),
    "callers without a credential": (SHARED | {"auth": {"modes": ["None"]}}, r"auth\.modes"),
    "an issuer": (SHARED | {"auth": {"modes": ["JWT"], "external": ISSUER}}, r"auth\.external"),
    "a bucket without a prefix": (SHARED | {"storage": {"s3": S3}}, r"storage\.s3\.prefix"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_shared_pool_that_could_not_keep_its_tenants_apart_is_refused(case: str) -> None:
    changes, told = REFUSED[case]
    models = {"models": [{"name": "espeak"}]}
    ServerConfig.model_validate_json(json.dumps(models | SHARED | {"storage": {"s3": S3 | {"prefix": "pool/"}}}))
    with pytest.raises(ValueError, match=told):
        ServerConfig.model_validate_json(json.dumps(models | changes))
