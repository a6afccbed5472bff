"""Identity that changes under a running server: a mode, a volume of keys, an issuer, a store, a proxy."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.support.jwt_forgery import keys_folder, pem, rsa_key
from tests.support.mounted_volume import MountedVolume
from tests.support.redis_server import counter_store
from tests.support.server_app import ToneClient, config, running_app
from tts_server.app.build import Application, Sources
from tts_server.auth.redis_refresh_tokens import RedisRefreshTokens
from tts_server.config.files import read_model
from tts_server.config.schema import AuthConfig, AuthMode, QuotaConfig, RedisConfig, ServerConfig
from tts_server.redis.client import redis_client

KEY = "s3cret-key"


async def test_tokens_come_and_go_with_the_configuration(tmp_path: Path) -> None:
    """Given keys alone, when JWT and its volume are added, tokens are given; and none when they go."""
    keys = keys_folder(tmp_path / "keys", app=KEY)
    signing = MountedVolume(tmp_path / "signing")
    signing.write(**{"a.pem": pem(rsa_key("ours")).decode(), "current": "a"})
    file = tmp_path / "server.json"
    with counter_store() as server:
        store = RedisConfig(url=server.address)

        def say(**auth: Any) -> None:
            changed = config(tmp_path, auth=AuthConfig(keys_directory=keys, **auth), redis=store)
            file.write_text(json.dumps(changed.model_dump(mode="json", by_alias=True)))

        say(modes=(AuthMode.API_KEY,))
        application = Application(
            Sources(read_model(file, ServerConfig), QuotaConfig(), file), lambda model: ToneClient()
        )
        await application.start()
        transport = httpx.ASGITransport(application.asgi)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://acme.test", headers={"Authorization": f"Bearer {KEY}"}
        ) as client:
            assert (await client.post("/v1/auth/token")).status_code == 404

            say(modes=(AuthMode.API_KEY, AuthMode.JWT), signing_directory=signing.directory)
            await application.watcher.poll()
            assert isinstance(application.server.identity.refresh, RedisRefreshTokens)
            given = (await client.post("/v1/auth/token")).json()
            assert "refresh_token" in given
            bearer = {"Authorization": f"Bearer {given['access_token']}"}
            assert (await client.get("/v1/models", headers=bearer)).status_code == 200

            signing.write(**{"b.pem": pem(rsa_key("new")).decode(), "current": "b"})  # a is lost at once
            await application.watcher.poll()
            assert (await client.get("/v1/models", headers=bearer)).status_code == 401

            say(modes=(AuthMode.API_KEY,))
            await application.watcher.poll()
            assert (await client.post("/v1/auth/token")).status_code == 404
            assert (await client.get("/v1/models")).status_code == 200
        await application.stop()


async def test_failures_count_by_the_address_that_a_trusted_proxy_names(tmp_path: Path) -> None:
    auth = AuthConfig(modes=(AuthMode.API_KEY,), keys_directory=keys_folder(tmp_path / "keys", app=KEY))

    async def statuses(trusted: Any) -> list[int]:
        changed = auth.model_copy(update={"trusted_proxies": trusted})
        async with running_app(config(tmp_path, auth=changed)) as acme:
            return [
                (
                    await acme.client.get(
                        "/v1/models", headers={"Authorization": f"Bearer guess-{n}", "X-Forwarded-For": f"192.0.2.{n}"}
                    )
                ).status_code
                for n in range(6)
            ]

    proxies = AuthConfig.model_validate_json('{"trustedProxies": ["127.0.0.0/8"]}').trusted_proxies
    assert await statuses(proxies) == [401] * 6
    assert await statuses(None) == [401] * 5 + [429]


async def test_a_proxy_is_believed_as_soon_as_its_network_is_named(tmp_path: Path) -> None:
    keys, file = keys_folder(tmp_path / "keys", app=KEY), tmp_path / "server.json"

    def say(*proxies: str) -> None:
        auth = AuthConfig(modes=(AuthMode.API_KEY,), keys_directory=keys)
        told = config(tmp_path, auth=auth).model_dump(mode="json", by_alias=True)
        file.write_text(json.dumps(told | {"auth": told["auth"] | {"trustedProxies": proxies}}))

    say()
    application = Application(Sources(read_model(file, ServerConfig), QuotaConfig(), file), lambda model: ToneClient())
    await application.start()
    transport = httpx.ASGITransport(application.asgi, client=("10.4.0.7", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://acme.test") as client:

        async def guess(address: str) -> int:
            headers = {"Authorization": "Bearer guess", "X-Forwarded-For": address}
            return (await client.get("/v1/models", headers=headers)).status_code

        assert [await guess(f"192.0.2.{number}") for number in range(6)] == [401] * 5 + [429]
        say("10.4.0.0/16")
        await application.watcher.poll()
        assert await guess("192.0.2.1") == 401
        say()
        await application.watcher.poll()
        assert await guess("192.0.2.1") == 429
    await application.stop()


async def test_refresh_tokens_need_few_commands_on_few_keys(tmp_path: Path) -> None:
    """The rights that a tenant's ACL user needs, and no others."""
    password = tmp_path / "password"
    password.write_text("s3cret")
    rule = "acme on >s3cret ~ttsfleet:{uid-1}:* resetchannels -@all +eval +hset +hmget +expire +del"
    rule += " +time +zadd +zcard +zrange +zrem +zremrangebyscore"
    with counter_store(user=rule) as server:
        client = redis_client(RedisConfig(url=server.address, username="acme", password_file=password))
        tokens = RedisRefreshTokens(client, "uid-1", most_families=1)
        await tokens.start("app")
        first = await tokens.start("app")
        assert (await tokens.renew(first)).holder == "app"
        await client.aclose()
