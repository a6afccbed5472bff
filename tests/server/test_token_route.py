"""`POST /v1/auth/token` and what its tokens open: the two grants, as OAuth clients and curl write them."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.support.jwt_forgery import Forger, keys_folder, pem, rsa_key, signing_folder
from tests.support.redis_server import CounterStore, counter_store
from tests.support.server_app import RunningApp, config, running_app
from tts_server.auth.failure_throttle import FailureThrottle
from tts_server.auth.refresh_tokens import MemoryRefreshTokens
from tts_server.config.schema import AuthConfig, AuthMode, RedisConfig

KEY, OTHER_KEY = "s3cret-key+/=", "another-key"
TOKEN = "/v1/auth/token"


def auth(folder: Path, *modes: AuthMode, **changes: Any) -> AuthConfig:
    settings: dict[str, Any] = {
        "modes": modes or (AuthMode.API_KEY, AuthMode.JWT),
        "keys_directory": keys_folder(folder / "keys", app=KEY, web=OTHER_KEY),
        "signing_directory": signing_folder(folder / "signing", "k1", k1=rsa_key("ours")),
    }
    return AuthConfig(**settings | changes)


@asynccontextmanager
async def tenant(folder: Path, *modes: AuthMode, **changes: Any) -> AsyncIterator[RunningApp]:
    settings: dict[str, Any] = {"auth": auth(folder, *modes), "tenant_uid": "uid-acme"}
    async with running_app(config(folder, **settings | changes)) as running:
        yield running


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with tenant(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def redis() -> Iterator[CounterStore]:
    with counter_store() as running:
        yield running


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


async def bought(acme: RunningApp, key: str = KEY) -> dict[str, Any]:
    reply = await acme.client.post(TOKEN, headers=bearer(key), json={"grant_type": "client_credentials"})
    assert reply.status_code == 200, reply.text
    content: dict[str, Any] = reply.json()
    return content


async def renewed(acme: RunningApp, token: str) -> httpx.Response:
    return await acme.client.post(TOKEN, data={"grant_type": "refresh_token", "refresh_token": token})


async def opens(acme: RunningApp, credential: str) -> int:
    return (await acme.client.get("/v1/models", headers=bearer(credential))).status_code


def code(reply: httpx.Response) -> tuple[int, str]:
    error = reply.json()["error"]
    assert list(error) == ["message", "type", "param", "code", "request_id"]
    return reply.status_code, error["code"]


async def test_a_key_buys_a_token_that_speaks(acme: RunningApp) -> None:
    reply = await acme.client.post(TOKEN, headers=bearer(KEY), json={"grant_type": "client_credentials"})
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["pragma"] == "no-cache"
    answer = reply.json()
    assert list(answer) == ["access_token", "token_type", "expires_in", "refresh_token"]
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 300)
    acme.client.headers.update(bearer(answer["access_token"]))
    assert (await acme.speech()).status_code == 200
    assert (await acme.synthesize()).status_code == 200


async def test_anybody_can_check_a_token_by_the_key_set(acme: RunningApp) -> None:
    token = (await bought(acme))["access_token"]
    reply = await acme.client.get("/.well-known/jwks.json")
    assert reply.headers["cache-control"] == "public, max-age=300"
    (key,) = reply.json()["keys"]
    assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
    claims = jwt.decode(
        token, jwt.PyJWK(key), ["RS256"], audience="ttsfleet:team-acme.acme", issuer="ttsfleet:uid-acme"
    )
    assert (claims["sub"], claims["tenant"]) == ("app", "team-acme.acme")
    assert claims["exp"] - claims["iat"] == 300
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "kid": "k1", "typ": "at+jwt"}


WAYS: dict[str, dict[str, Any]] = {
    "nothing but the key": {"headers": bearer(KEY)},
    "a form": {"headers": bearer(KEY), "data": {"grant_type": "client_credentials"}},
    "JSON": {"headers": bearer(KEY), "json": {"grant_type": "client_credentials", "scope": "ignored"}},
    "Basic": {"auth": ("app", KEY), "data": {"grant_type": "client_credentials"}},
    "Basic, encoded as OAuth says": {
        "auth": ("app", "s3cret-key%2B%2F%3D"),
        "data": {"grant_type": "client_credentials"},
    },
    "Basic without a name": {"auth": ("", KEY), "data": {"grant_type": "client_credentials"}},
    "client_secret": {"data": {"grant_type": "client_credentials", "client_id": "app", "client_secret": KEY}},
    "client_secret in JSON": {"json": {"client_secret": KEY}},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_ways_to_send_the_key(acme: RunningApp, way: dict[str, Any]) -> None:
    reply = await acme.client.post(TOKEN, **way)
    assert reply.status_code == 200, reply.text
    assert await opens(acme, reply.json()["access_token"]) == 200


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
WRONG: dict[str, tuple[dict[str, Any], tuple[int, str]]] = {
    "no key": ({}, (401, "invalid_api_key")),
    "a wrong key": ({"headers": bearer("wrong")}, (401, "invalid_api_key")),
    "a key under another's name": ({"auth": ("web", KEY)}, (401, "invalid_api_key")),
    "the key in two places": ({"headers": bearer(KEY), "data": {"client_secret": KEY}}, (400, "invalid_request")),
    "an unknown grant": ({"headers": bearer(KEY), "data": {"grant_type": "password"}}, (400, "invalid_parameter")),
    "a grant of another type": ({"headers": bearer(KEY), "json": {"grant_type": 1}}, (400, "invalid_parameter")),
    "no refresh token": ({"data": {"grant_type": "refresh_token"}}, (400, "invalid_parameter")),
    "no such refresh token": ({"data": {"grant_type": "refresh_token", "refresh_token": "x"}}, (400, "invalid_grant")),
    "a field twice": ({"content": b"grant_type=a&grant_type=b", "headers": FORM}, (400, "invalid_request")),
    "no form": ({"content": b"grant_type", "headers": FORM}, (400, "invalid_request")),
    "too many fields": (
        {"content": b"&".join(b"a%d=1" % n for n in range(40)), "headers": FORM},
        (400, "invalid_request"),
    ),
    "a form that is not UTF-8": ({"content": b"grant_type=%ff", "headers": FORM}, (400, "invalid_request")),
    "no JSON": ({"content": b"{", "headers": {"Content-Type": "application/json"}}, (400, "invalid_request")),
    "another content type": (
        {"content": b"x", "headers": {"Content-Type": "text/plain"}},
        (415, "unsupported_media_type"),
    ),
    "a large body": ({"content": b"a=" + b"x" * 70_000, "headers": FORM}, (413, "body_too_large")),
    "Basic that is no base64": ({"headers": {"Authorization": "Basic !"}}, (401, "invalid_api_key")),
    "a half surrogate as key": ({"json": {"client_secret": "\ud800"}}, (400, "invalid_parameter")),
}


@pytest.mark.parametrize(("sent", "expected"), WRONG.values(), ids=WRONG)
async def test_wrong_requests(acme: RunningApp, sent: dict[str, Any], expected: tuple[int, str]) -> None:
    if "json" in sent:  # httpx would refuse to write half a surrogate
        content = json.dumps(sent["json"]).encode()
        sent = {"headers": {"Content-Type": "application/json"} | sent.get("headers", {}), "content": content}
    assert code(await acme.client.post(TOKEN, **sent)) == expected


async def test_an_access_token_buys_no_token(acme: RunningApp) -> None:
    token = (await bought(acme))["access_token"]
    assert code(await acme.client.post(TOKEN, headers=bearer(token))) == (401, "invalid_api_key")


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "redis"])
async def test_a_refresh_token_is_good_once_and_its_second_use_ends_the_family(
    tmp_path: Path, redis: CounterStore, *, shared: bool
) -> None:
    store = RedisConfig(url=redis.address) if shared else None
    async with tenant(tmp_path, redis=store) as acme:
        first = (await bought(acme))["refresh_token"]
        reply = await renewed(acme, first)
        assert reply.status_code == 200
        second = reply.json()
        assert await opens(acme, second["access_token"]) == 200
        assert code(await renewed(acme, first)) == (400, "invalid_grant")
        assert code(await renewed(acme, second["refresh_token"])) == (400, "invalid_grant")
        assert await opens(acme, second["access_token"]) == 200  # for its five minutes
        await bought(acme)


async def test_replicas_share_refresh_tokens_through_redis(tmp_path: Path, redis: CounterStore) -> None:
    store = RedisConfig(url=redis.address)
    async with (
        tenant(tmp_path, redis=store, max_replicas=2) as one,
        tenant(tmp_path, redis=store, max_replicas=2) as other,
    ):
        answer = await bought(one)
        assert await opens(other, answer["access_token"]) == 200
        assert (await renewed(other, answer["refresh_token"])).status_code == 200
        assert code(await renewed(one, answer["refresh_token"])) == (400, "invalid_grant")


async def test_without_a_shared_store_several_replicas_give_no_refresh_tokens(tmp_path: Path) -> None:
    async with tenant(tmp_path, max_replicas=2) as acme:
        assert "refresh_token" not in await bought(acme)
        assert code(await renewed(acme, "a" * 22 + "." + "b" * 43)) == (400, "invalid_parameter")


async def test_redis_gone_costs_the_refresh_token_only(tmp_path: Path) -> None:
    with counter_store() as server:
        async with tenant(tmp_path, redis=RedisConfig(url=server.address)) as acme:
            answer = await bought(acme)
            server.kill()
            without = await bought(acme)
            assert "refresh_token" not in without
            assert await opens(acme, without["access_token"]) == 200
            reply = await renewed(acme, answer["refresh_token"])
            assert code(reply) == (503, "refresh_unavailable")
            assert "retry-after" in reply.headers


async def test_a_key_that_is_removed_takes_its_tokens_along(acme: RunningApp, tmp_path: Path) -> None:
    mine, theirs = await bought(acme), await bought(acme, OTHER_KEY)
    assert await opens(acme, mine["access_token"]) == 200
    (tmp_path / "keys" / "app").unlink()
    await acme.application.watcher.poll()
    assert await opens(acme, mine["access_token"]) == 401
    assert code(await renewed(acme, mine["refresh_token"])) == (400, "invalid_grant")
    assert await opens(acme, theirs["access_token"]) == 200
    assert (await renewed(acme, theirs["refresh_token"])).status_code == 200


async def test_a_key_that_takes_over_a_name_inherits_no_refresh_token(acme: RunningApp, tmp_path: Path) -> None:
    refresh = (await bought(acme))["refresh_token"]
    keys_folder(tmp_path / "keys", app="a new key")
    await acme.application.watcher.poll()
    assert code(await renewed(acme, refresh)) == (400, "invalid_grant")


async def test_a_refresh_token_with_another_ones_key_buys_nothing(acme: RunningApp) -> None:
    refresh = (await bought(acme))["refresh_token"]
    reply = await acme.client.post(
        TOKEN, headers=bearer(OTHER_KEY), data={"grant_type": "refresh_token", "refresh_token": refresh}
    )
    assert code(reply) == (400, "invalid_grant")
    assert code(await renewed(acme, refresh)) == (400, "invalid_grant")


MODES: dict[str, tuple[tuple[AuthMode, ...], dict[str, int]]] = {
    # modes                      what opens the door
    "keys alone": ((AuthMode.API_KEY,), {"key": 200, "token": 401, "nothing": 401, "dummy": 401, "forged": 401}),
    "tokens alone": ((AuthMode.JWT,), {"key": 401, "token": 200, "nothing": 401, "dummy": 401, "forged": 401}),
    "both": ((AuthMode.API_KEY, AuthMode.JWT), {"key": 200, "token": 200, "nothing": 401, "dummy": 401, "forged": 401}),
    "tokens or nothing": ((AuthMode.NONE, AuthMode.JWT), {"key": 200, "token": 200, "nothing": 200, "dummy": 200,
                                                          "forged": 401}),
    "nobody asks": ((AuthMode.NONE,), {"key": 200, "token": 200, "nothing": 200, "dummy": 200, "forged": 200}),
}  # fmt: skip


@pytest.mark.parametrize(("modes", "expected"), MODES.values(), ids=MODES)
async def test_modes(tmp_path: Path, modes: tuple[AuthMode, ...], expected: dict[str, int]) -> None:
    ours = Forger(rsa_key("ours"))
    async with tenant(tmp_path, *modes) as acme:
        sent = {"key": KEY, "token": ours.token(), "dummy": "sk-none", "forged": ours.token(claims={"exp": 1})}
        got = {name: await opens(acme, credential) for name, credential in sent.items()}
        got["nothing"] = (await acme.client.get("/v1/models")).status_code
        assert got == expected
        for reply in (
            await acme.client.post(TOKEN, headers=bearer(KEY)),
            await acme.client.get("/.well-known/jwks.json"),
        ):
            assert reply.status_code == (200 if AuthMode.JWT in modes else 404)


async def test_a_token_of_one_tenant_fails_at_every_other(tmp_path: Path) -> None:
    """Even where both have the same name, or were given the same key."""
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    async with (
        tenant(tmp_path / "a") as acme,
        tenant(tmp_path / "b", tenant="team-acme.acme", tenant_uid="uid-namesake") as namesake,
        tenant(tmp_path / "c", tenant="team-b.b", tenant_uid="uid-b") as other,
    ):
        token = (await bought(acme))["access_token"]
        assert [await opens(tenant, token) for tenant in (acme, namesake, other)] == [200, 401, 401]


async def test_a_laptop_makes_its_own_key(tmp_path: Path) -> None:
    async with tenant(tmp_path, auth=auth(tmp_path, signing_directory=None)) as acme:
        assert await opens(acme, (await bought(acme))["access_token"]) == 200


async def test_keys_rotate_with_an_overlap(acme: RunningApp, tmp_path: Path) -> None:
    """The steps: a; a and b, a signs; a and b, b signs; b. A token of a is valid until a is removed."""

    async def step(current: str, **keys: Any) -> list[str]:
        folder = tmp_path / "signing"
        for file in folder.glob("*.pem"):
            if file.stem not in keys:
                file.unlink()
        signing_folder(folder, current, **keys)
        await acme.application.watcher.poll()
        return [key["kid"] for key in (await acme.client.get("/.well-known/jwks.json")).json()["keys"]]

    old_key, new_key = rsa_key("ours"), rsa_key("new")
    old = (await bought(acme))["access_token"]
    assert await step("k1", k1=old_key, k2=new_key) == ["k1", "k2"]
    assert jwt.get_unverified_header((await bought(acme))["access_token"])["kid"] == "k1"
    assert await step("k2", k1=old_key, k2=new_key) == ["k1", "k2"]
    new = (await bought(acme))["access_token"]
    assert jwt.get_unverified_header(new)["kid"] == "k2"
    assert [await opens(acme, token) for token in (old, new)] == [200, 200]
    assert await step("k2", k2=new_key) == ["k2"]
    assert [await opens(acme, token) for token in (old, new)] == [401, 200]


async def test_a_broken_folder_leaves_the_keys_as_they_are(acme: RunningApp, tmp_path: Path) -> None:
    token = (await bought(acme))["access_token"]
    for name, content in (("current", b"ghost\n"), ("k1.pem", b"no key"), ("k9.pem", pem(rsa_key("short", 1024)))):
        file = tmp_path / "signing" / name
        before = file.read_bytes() if file.exists() else None
        file.write_bytes(content)
        await acme.application.watcher.poll()
        assert await opens(acme, token) == 200
        assert await opens(acme, (await bought(acme))["access_token"]) == 200
        if before is None:
            file.unlink()
        else:
            file.write_bytes(before)


async def test_without_a_signing_key_keys_still_speak(tmp_path: Path) -> None:
    async with tenant(tmp_path, auth=auth(tmp_path, signing_directory=tmp_path / "nothing")) as acme:
        assert await opens(acme, KEY) == 200
        assert code(await acme.client.post(TOKEN, headers=bearer(KEY))) == (503, "tokens_unavailable")
        assert code(await acme.client.get("/.well-known/jwks.json")) == (503, "tokens_unavailable")
        assert await opens(acme, Forger(rsa_key("ours")).token()) == 401


class Slow:
    """A clock, and pauses that pass at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def failures(self) -> FailureThrottle:
        return FailureThrottle(lambda: self.now, self.sleep)


async def test_a_guesser_is_slowed_and_nobody_beside_it(acme: RunningApp) -> None:
    slow = Slow()
    acme.application.server.identity.failures = slow.failures()
    replies = [await acme.client.get("/v1/models", headers=bearer(f"guess-{n}")) for n in range(10)]
    assert [reply.status_code for reply in replies] == [401] * 5 + [429] * 5
    assert [reply.headers["retry-after"] for reply in replies[5:]] == ["1", "2", "4", "8", "16"]
    assert all(code(reply) == (429, "too_many_failures") for reply in replies[5:])
    assert replies[-1].headers["connection"] == "close"
    slept = len(slow.slept)
    assert slept == 5
    token = (await bought(acme))["access_token"]  # the same address, in the midst of it
    assert [await opens(acme, KEY), await opens(acme, token), (await acme.client.get("/v1/models")).status_code] == [
        200, 200, 401,
    ]  # fmt: skip
    assert len(slow.slept) == slept
    assert code(await renewed(acme, "guess")) == (400, "invalid_grant")
    assert len(slow.slept) == slept + 1
    assert (await acme.client.post(TOKEN, headers=bearer("guess"))).status_code == 429
    slow.now += 400
    assert await opens(acme, "guess") == 401


async def test_callers_behind_one_address_hear_that_their_tokens_are_over(acme: RunningApp) -> None:
    """A 429 would keep an OAuth client from getting a new one."""
    old = Forger(rsa_key("ours")).token(claims={"exp": 1})
    assert [await opens(acme, old) for _ in range(20)] == [401] * 20
    acme.application.server.identity.failures = Slow().failures()
    stale = "a" * 22 + "." + "b" * 43
    assert {code(await renewed(acme, stale)) for _ in range(20)} == {(400, "invalid_grant")}


async def test_refused_credentials_are_counted_by_code(acme: RunningApp) -> None:
    await opens(acme, "guess")
    await opens(acme, "a.b.c")
    registry = acme.application.server.metrics.registry
    for failure in ("invalid_api_key", "invalid_token"):
        assert registry.get_sample_value("tts_auth_failures_total", {"code": failure}) == 1


async def test_no_secret_reaches_the_log_or_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with tenant(tmp_path) as acme:
        answer = await bought(acme)
        again = (await renewed(acme, answer["refresh_token"])).json()
        forged = Forger(rsa_key("theirs")).token()
        replies = [
            await acme.client.get("/v1/models", headers=bearer(forged)),
            await acme.client.get("/v1/models", headers=bearer(answer["access_token"])),
            await acme.client.post(
                TOKEN, headers={"Authorization": "Basic " + b64encode(b"app:wrong-secret").decode()}
            ),
            await renewed(acme, answer["refresh_token"]),
            await acme.client.post(TOKEN, json={"client_secret": "wrong-secret"}),
        ]
        (tmp_path / "signing" / "k1.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----\nbroken-secret\n")
        await acme.application.watcher.poll()
        said = capsys.readouterr().out + caplog.text + "".join(reply.text for reply in replies)
        objects = repr(vars(acme.application.server.identity)) + repr(acme.application.server.keyring)
    secrets = [KEY, forged, "wrong-secret", "broken-secret", "BEGIN"]
    secrets += [token[name] for token in (answer, again) for name in ("access_token", "refresh_token")]
    secrets += [part for token in (answer, again) for part in token["refresh_token"].split(".")]
    assert "request" in said
    assert [secret for secret in secrets if secret in said + objects] == []


async def test_refresh_tokens_survive_a_new_configuration(acme: RunningApp) -> None:
    refresh = (await bought(acme))["refresh_token"]
    identity = acme.application.server.identity
    snapshot = acme.application.server.snapshot
    assert snapshot is not None
    assert isinstance(identity.refresh, MemoryRefreshTokens)
    await identity.take(snapshot.config, None)
    assert (await renewed(acme, refresh)).status_code == 200


async def test_many_grants_at_once(acme: RunningApp) -> None:
    answers = await asyncio.gather(*(bought(acme) for _ in range(20)))
    assert len({answer["access_token"] for answer in answers}) == 20
