"""Users of the operator's Redis, on a real server: what each may reach, and what is left when its tenant is gone."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.exceptions import NoPermissionError, RedisError

from tests.support.redis_server import CounterStore, counter_store
from tests.support.timeouts import PATIENCE_SECONDS
from tts_operator.credentials.shared_stores import url_text
from tts_operator.objects.names import redis_user_name
from tts_operator.redis_acl import admin as redis_admin_module
from tts_operator.redis_acl.admin import SCAN_KEYS, RedisAdmin
from tts_operator.redis_acl.users import RedisRejected, RedisUnreachable, Registration
from tts_operator.settings import RedisDefault
from tts_server.auth.redis_refresh_tokens import RedisRefreshTokens
from tts_server.config.redis_acl import rules
from tts_server.config.redis_url import parse_redis_url
from tts_server.config.schema import RedisConfig
from tts_server.quota.limit_table import Limits
from tts_server.quota.redis_quota import RedisQuota
from tts_server.redis import client as redis_client_module
from tts_server.redis.client import RedisClient, redis_client

OPERATOR, OTHER_OPERATOR = "lease-1", "lease-2"
ACME, BLUE = "uid-acme", "uid-blue"
TODAY = datetime(2026, 11, 21, tzinfo=UTC).date()


@pytest.fixture(autouse=True)
def patient_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login hashes the password, which takes a busy machine longer than a request may wait."""
    monkeypatch.setattr(redis_client_module, "TIMEOUT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(redis_client_module, "COMMAND_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(redis_admin_module, "TIMEOUT_SECONDS", PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def server() -> Iterator[CounterStore]:
    with counter_store() as store:
        yield store


@pytest.fixture
def store(server: CounterStore) -> CounterStore:
    server.run("FLUSHALL")
    for name in server.run("ACL", "USERS"):
        if name != "default":
            server.run("ACL", "DELUSER", name)
    return server


@pytest.fixture
async def admin(store: CounterStore) -> AsyncIterator[RedisAdmin]:
    admin = RedisAdmin(RedisDefault(parse_redis_url(store.url)))
    yield admin
    await admin.close()


def sha256(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def as_tenant(store: CounterStore, folder: Path, uid: str, password: str) -> RedisClient:
    """Connect as the tenant's server does, with the URL of its Secret."""
    file = folder / f"{uid}-{password}"
    file.write_text(url_text(parse_redis_url(store.url), redis_user_name(uid), password))
    return redis_client(RedisConfig(url_file=file))


async def test_a_tenants_server_can_do_its_work_and_reach_nobody_elses_keys(
    store: CounterStore, admin: RedisAdmin, tmp_path: Path
) -> None:
    for uid in (ACME, BLUE):
        await admin.grant(OPERATOR, uid, f"team/{uid}", sha256("right"))
    acme = as_tenant(store, tmp_path, ACME, "right")
    quota = RedisQuota(acme)
    await (await quota.reserve(ACME, Limits(requests_per_minute=5))).give_back()
    await quota.maintain()
    await quota.ledger(ACME, TODAY)
    tokens = RedisRefreshTokens(acme, ACME)
    await tokens.renew(await tokens.start("app"))
    await acme.set(f"tts:{{{ACME}}}:cache:1", b"sound", px=60_000)
    assert await acme.get(f"tts:{{{ACME}}}:cache:1") == b"sound"
    for command in (
        ["GET", f"tts:{{{BLUE}}}:cache:1"],
        ["SET", f"tts:{{{BLUE}}}:cache:1", "x"],
        ["EVAL", "return redis.call('GET', KEYS[1])", "1", f"ttsfleet:{{{BLUE}}}:refresh:1"],
        ["EVAL", f"return redis.call('GET', 'tts:{{{BLUE}}}:cache:1')", "0"],
        ["HGETALL", f"ttsfleet:operators:{OPERATOR}"],
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["ACL", "LIST"],
        ["PUBLISH", "channel", "x"],
    ):
        with pytest.raises(RedisError) as refused:
            await acme.execute_command(*command)
        said = str(refused.value)  # inside a script Valkey says the former, Redis 7.0 the latter
        assert isinstance(refused.value, NoPermissionError) or "ACL failure" in said or "can't access" in said, command
    await acme.aclose()


async def test_another_password_takes_the_place_of_the_one_before(
    store: CounterStore, admin: RedisAdmin, tmp_path: Path
) -> None:
    await admin.grant(OPERATOR, ACME, "team/acme", sha256("old"))
    old = as_tenant(store, tmp_path, ACME, "old")
    await old.get(f"tts:{{{ACME}}}:a")
    await admin.grant(OPERATOR, ACME, "team/acme", sha256("new"))
    await old.get(f"tts:{{{ACME}}}:a")  # on the connection that there is: nobody is cut off
    await old.connection_pool.disconnect()
    with pytest.raises(RedisError):
        await old.get(f"tts:{{{ACME}}}:a")
    new = as_tenant(store, tmp_path, ACME, "new")
    await new.get(f"tts:{{{ACME}}}:a")
    await old.aclose()
    await new.aclose()


async def test_a_user_that_was_tampered_with_is_put_right(store: CounterStore, admin: RedisAdmin) -> None:
    await admin.grant(OPERATOR, ACME, "team/acme", sha256("right"))
    before = store.run("ACL", "GETUSER", redis_user_name(ACME))
    store.run("ACL", "SETUSER", redis_user_name(ACME), "~*", "+@all", ">also")
    await admin.grant(OPERATOR, ACME, "team/acme", sha256("right"))
    assert store.run("ACL", "GETUSER", redis_user_name(ACME)) == before


async def test_what_a_restart_has_lost_is_told(store: CounterStore, admin: RedisAdmin) -> None:
    await admin.grant(OPERATOR, ACME, "team/acme", sha256("right"))
    assert await admin.registered(OPERATOR) == {ACME: Registration("team/acme", exists=True)}
    store.run("ACL", "DELUSER", redis_user_name(ACME))
    assert await admin.registered(OPERATOR) == {ACME: Registration("team/acme", exists=False)}
    assert await admin.registered(OTHER_OPERATOR) == {}


async def test_a_removed_user_leaves_nothing_and_others_lose_nothing(
    store: CounterStore, admin: RedisAdmin, tmp_path: Path
) -> None:
    await admin.grant(OPERATOR, ACME, "team/acme", sha256("right"))
    await admin.grant(OPERATOR, BLUE, "team/blue", sha256("right"))
    store.run("EVAL", f"for i = 1, {3 * SCAN_KEYS} do redis.call('SET', ARGV[1] .. i, 1) end", 0, f"tts:{{{ACME}}}:a:")
    store.run("SET", f"ttsfleet:{{{ACME}}}:refresh:1", "1")
    kept = [f"tts:{{{BLUE}}}:a", f"tts:{{{ACME}x}}:a", f"x:tts:{{{ACME}}}:a"]
    for key in kept:
        store.run("SET", key, "1")
    acme = as_tenant(store, tmp_path, ACME, "right")
    await acme.get(f"tts:{{{ACME}}}:a:1")
    await admin.remove(OPERATOR, [ACME])
    assert sorted(store.run("KEYS", "*")) == sorted([*kept, f"ttsfleet:operators:{OPERATOR}"])
    assert sorted(store.run("ACL", "USERS")) == ["default", redis_user_name(BLUE)]
    assert list(await admin.registered(OPERATOR)) == [BLUE]
    with pytest.raises(RedisError):  # its connection has ended with it
        await acme.get(f"tts:{{{ACME}}}:a:1")
    await acme.aclose()


async def test_a_server_that_is_away_and_one_that_refuses_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong\n")
    with counter_store(requirepass="right") as store:
        admin = RedisAdmin(RedisDefault(parse_redis_url(store.url), tmp_path))
        with pytest.raises(RedisRejected):
            await admin.registered(OPERATOR)
        (tmp_path / "password").write_text("right\n")
        await admin.grant(OPERATOR, ACME, "team/acme", sha256("right"))
        store.freeze()
        try:
            with pytest.raises(RedisUnreachable):
                await admin.registered(OPERATOR)
        finally:
            store.thaw()
        (tmp_path / "username").write_text("default\n")
        assert list(await admin.registered(OPERATOR)) == [ACME]
        store.kill()
        with pytest.raises(RedisUnreachable):
            await admin.registered(OPERATOR)
        (tmp_path / "password").unlink()
        store.start()
        with pytest.raises(RedisRejected, match="password cannot be read"):
            await admin.registered(OPERATOR)
        await admin.close()


async def test_an_administrator_of_few_rights_is_enough(store: CounterStore, tmp_path: Path) -> None:
    store.run("ACL", "SETUSER", "fleet", "on", ">admin", *ADMIN_RIGHTS.split())
    (tmp_path / "username").write_text("fleet")
    (tmp_path / "password").write_text("admin")
    admin = RedisAdmin(RedisDefault(parse_redis_url(store.url), tmp_path))
    await admin.grant(OPERATOR, ACME, "team/acme", sha256("right"))
    store.run("SET", f"tts:{{{ACME}}}:a", "1")
    await admin.registered(OPERATOR)
    await admin.remove(OPERATOR, [ACME])
    assert store.run("KEYS", "*") == []
    await admin.close()


ADMIN_RIGHTS = (
    "resetchannels ~tts:* ~ttsfleet:* -@all +acl|setuser +acl|deluser +acl|users +hset +hdel +hgetall +scan +unlink"
    " +select"
)
"""As docs/how-to/limits.md gives them."""


def test_the_documentation_gives_the_same_rights() -> None:
    page = " ".join((Path(__file__).parents[2] / "docs" / "how-to" / "limits.md").read_text().split())
    assert " ".join(ADMIN_RIGHTS.split()) in page
    assert " ".join(rules("<tenant's UID>")) in page
