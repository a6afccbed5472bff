"""Stores of tenants on the real API server, with a real Valkey as the operator's Redis."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml
from redis.exceptions import RedisError

from hack.cluster.control_plane import ControlPlane
from tests.support.api_server import SETTINGS, ApiServer, eventually
from tests.support.operator_process import Operator, role, role_binding
from tests.support.redis_server import CounterStore, counter_store
from tests.support.resources import tenant_body
from tts_operator.clock import SystemClock
from tts_operator.cluster.client import Cluster
from tts_operator.controller.controller import Controller, ControllerOptions
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile
from tts_operator.controller.store_access import StoreAccess
from tts_operator.objects.manifest import Ref
from tts_operator.objects.names import redis_user_name
from tts_operator.observe.credential_files import StoreFiles
from tts_operator.redis_acl.admin import RedisAdmin
from tts_operator.redis_acl.users import RedisUsers
from tts_operator.settings import RedisDefault, S3Default, Settings
from tts_operator.telemetry.metrics import Metrics
from tts_server.config.redis_url import parse_redis_url
from tts_server.config.schema import RedisConfig
from tts_server.redis.client import redis_client

CLOCK = SystemClock()


@dataclass
class OperatorWithStores:
    """An operator with stores, as `run` puts it together."""

    api: ApiServer
    settings: Settings
    stores: StoreAccess
    woken: list[str] = field(default_factory=list)

    async def converge(self, name: str = "acme", within: int = 10) -> None:
        for _ in range(within):
            before = len(self.api.writes)
            await reconcile(self.api.key(name), ReconcileContext(self.api.cluster, self.settings, CLOCK, self.stores))
            if len(self.api.writes) == before:
                return
        raise AssertionError(f"still writing: {self.api.writes[-5:]}")

    async def look(self) -> None:
        """Look for users that are missing, as the controller does periodically."""
        controller = Controller(
            self.api.cluster, self.settings, CLOCK, Metrics(), ControllerOptions(), stores=self.stores
        )
        assert self.stores.users is not None
        await self.stores.users.sync(lambda key: self.woken.append(key.name), controller._has_no_user)

    async def secret(self, name: str) -> dict[str, str]:
        data = (await self.api.get("Secret", name))["data"]
        return {entry: base64.b64decode(value).decode() for entry, value in data.items()}

    async def uid(self, name: str = "acme") -> str:
        return str((await self.api.get("TTSTenant", name))["metadata"]["uid"])


@pytest.fixture
def store() -> Iterator[CounterStore]:
    with counter_store() as running:
        yield running


@pytest.fixture
async def harness(api: ApiServer, store: CounterStore, tmp_path: Path) -> AsyncIterator[OperatorWithStores]:
    (tmp_path / "accessKey").write_text("AKIA\n")
    (tmp_path / "secretKey").write_text("s3cret\n")
    settings = replace(
        SETTINGS,
        redis=RedisDefault(parse_redis_url(store.url)),
        s3=S3Default(endpoint="http://minio.example:9000", bucket="speech", path_style=True, directory=tmp_path),
    )
    assert settings.redis is not None
    admin = RedisAdmin(settings.redis)

    async def operator() -> str:
        return api.namespace

    users = RedisUsers(admin, operator, lambda: True, CLOCK, sync_seconds=0.2)
    yield OperatorWithStores(api, settings, StoreAccess(StoreFiles(settings), users))
    await admin.close()


async def test_a_tenant_gets_a_user_that_works_and_keeps_its_password(
    harness: OperatorWithStores, store: CounterStore, tmp_path: Path
) -> None:
    api = harness.api
    model = await api.publish_model()
    for name in ("acme", "blue"):
        await api.user.create(tenant_body(model, key=api.key(name)))
        await harness.converge(name)
    first = await harness.secret("acme-redis")
    await harness.converge()
    assert await harness.secret("acme-redis") == first
    assert (await api.condition("RedisConfigured"))["status"] == "True"
    assert (await api.condition("Programmed"))["status"] == "True"
    file = tmp_path / "url"
    file.write_text(first["url"])
    client = redis_client(RedisConfig(url_file=file))
    await client.set(f"tts:{{{await harness.uid()}}}:a", "1")
    with pytest.raises(RedisError):
        await client.set(f"tts:{{{await harness.uid('blue')}}}:a", "1")
    await client.aclose()


async def test_a_secret_that_somebody_deleted_comes_back_with_another_password(
    harness: OperatorWithStores, store: CounterStore
) -> None:
    api = harness.api
    await api.user.create(tenant_body(await api.publish_model(), key=api.key()))
    await harness.converge()
    first = await harness.secret("acme-redis")
    await api.user.delete(api.ref("Secret", "acme-redis"))
    await harness.converge()
    second = await harness.secret("acme-redis")
    assert second != first
    admin, url = store.client(), parse_redis_url(second["url"])
    assert await admin.execute_command("AUTH", url.username, url.password)
    await admin.aclose()


async def test_redis_down_costs_a_condition_and_no_endpoint_and_back_it_is_made_good(
    harness: OperatorWithStores, store: CounterStore
) -> None:
    api = harness.api
    store.kill()
    await api.user.create(tenant_body(await api.publish_model(), key=api.key()))
    await harness.converge()
    said = await api.condition("RedisConfigured")
    assert (said["status"], said["reason"]) == ("False", "RedisUnavailable")
    assert (await api.condition("Programmed"))["status"] == "True"
    assert "RedisUnavailable" in [event["reason"] for event in await api.events()]
    assert {ref.kind for ref in await api.children()} >= {"Deployment", "Secret", "Service"}
    store.start()
    await harness.look()
    assert harness.woken == ["acme"]
    await harness.converge()
    assert (await api.condition("RedisConfigured"))["status"] == "True"
    assert redis_user_name(await harness.uid()) in store.run("ACL", "USERS")


async def test_a_restart_that_forgets_every_user_is_made_good(harness: OperatorWithStores, store: CounterStore) -> None:
    api = harness.api
    await api.user.create(tenant_body(await api.publish_model(), key=api.key()))
    await harness.converge()
    user = redis_user_name(await harness.uid())
    before = store.run("ACL", "GETUSER", user)
    store.kill()
    store.start()
    assert user not in store.run("ACL", "USERS")
    with contextlib.suppress(Exception):
        await harness.look()  # on a connection of before
    await harness.look()
    assert "acme" in harness.woken
    await harness.converge()
    assert store.run("ACL", "GETUSER", user) == before


async def test_a_tenant_that_is_deleted_leaves_nothing_in_redis(
    harness: OperatorWithStores, store: CounterStore
) -> None:
    api = harness.api
    model = await api.publish_model()
    for name in ("acme", "blue"):
        await api.user.create(tenant_body(model, key=api.key(name)))
        await harness.converge(name)
        store.run("SET", f"tts:{{{await harness.uid(name)}}}:a", "1")
    gone, stays = await harness.uid("acme"), await harness.uid("blue")
    await api.user.delete(api.ref("TTSTenant", "acme"))
    await reconcile(api.key(), ReconcileContext(api.cluster, harness.settings, CLOCK, harness.stores))
    await harness.look()
    assert store.run("ACL", "USERS") == ["default", redis_user_name(stays)]
    assert not store.run("KEYS", f"*{gone}*")
    assert store.run("KEYS", f"*{stays}*")


async def test_a_tenant_that_brings_its_own_stores_leaves_the_operators(
    harness: OperatorWithStores, store: CounterStore
) -> None:
    api = harness.api
    await api.user.create(tenant_body(await api.publish_model(), key=api.key()))
    await harness.converge()
    assert (await harness.secret("acme-s3"))["accessKey"] == "AKIA"
    s3 = {"endpoint": "https://s3.example", "bucket": "speech", "secretRef": {"name": "own-s3"}}
    spec = {"redis": {"secretRef": {"name": "own-redis"}}, "storage": {"s3": s3}}
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": spec})
    await harness.converge()
    assert (await api.condition("RedisConfigured"))["reason"] == "RedisSecretNotFound"
    for name in ("acme-redis", "acme-s3"):
        assert await api.cluster.get(api.ref("Secret", name)) is None
    await harness.look()
    assert store.run("ACL", "USERS") == ["default"]


async def test_a_secret_that_a_plan_cut_short_left_behind_goes_with_the_next_operator(
    harness: OperatorWithStores,
) -> None:
    """Nothing mounts it any more, and nobody may list Secrets: only a look by name finds it."""
    api = harness.api
    await api.user.create(tenant_body(await api.publish_model(), key=api.key()))
    await harness.converge()
    s3 = {"endpoint": "https://s3.example", "bucket": "speech", "secretRef": {"name": "own-s3"}}
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"storage": {"s3": s3}}})

    class Cut(Exception):  # noqa: N818 - the end of the process, as far as the plan can tell
        pass

    class NeverDeletes(Cluster):
        async def delete(self, ref: Ref, uid: str) -> None:
            raise Cut

    async with await NeverDeletes.connect(lambda: True) as cluster:
        with pytest.raises(Cut):
            await reconcile(api.key(), ReconcileContext(cluster, harness.settings, CLOCK, harness.stores))
    assert await api.cluster.get(api.ref("Secret", "acme-s3")) is not None
    await harness.converge()
    assert await api.cluster.get(api.ref("Secret", "acme-s3")) is None


async def test_a_tenants_own_secret_is_read_for_its_port_and_stays_its_own(harness: OperatorWithStores) -> None:
    api = harness.api
    await api.user.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "counters", "namespace": api.namespace},
            "stringData": {"url": "redis://acme:very-s3cret@redis.store.svc:7777"},
        }
    )
    model = await api.publish_model()
    await api.user.create(tenant_body(model, redis={"secretRef": {"name": "counters"}}, key=api.key()))
    await harness.converge()
    assert (await api.condition("RedisConfigured"))["status"] == "True"
    children = await api.children()
    assert "7777" in str(children[api.ref("NetworkPolicy", f"acme-{model}")])
    assert "s3cret" not in str([child for ref, child in children.items() if ref.kind != "Secret"])
    assert api.ref("Secret", "counters") not in children


async def test_keys_of_the_object_store_that_rotate_reach_every_tenant(
    harness: OperatorWithStores, tmp_path: Path
) -> None:
    api = harness.api
    await api.user.create(tenant_body(await api.publish_model(), key=api.key()))
    await harness.converge()
    (tmp_path / "secretKey").write_text("another\n")
    await harness.converge()
    assert (await harness.secret("acme-s3"))["secretKey"] == "another"


@pytest.fixture
def operator(
    control_plane: ControlPlane, kubeconfig: Path, api: ApiServer, store: CounterStore, tmp_path: Path
) -> Iterator[Operator]:
    """A whole one, with nothing but the permissions of the chart."""
    control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([role(), role_binding()]))
    flags = (f"--watch-namespaces={api.namespace}", f"--redis-url={store.url}", "--lease-seconds=3")
    running = Operator.start(control_plane, tmp_path, f"stores-{api.namespace}", api.namespace, flags)
    yield running
    running.end()


async def test_a_whole_operator_makes_users_mends_them_and_removes_them(
    operator: Operator, api: ApiServer, store: CounterStore
) -> None:
    await api.user.create(tenant_body(await api.publish_model(), key=api.key()))

    async def has_user() -> bool:
        return len(store.run("ACL", "USERS")) == 2

    async def has_none() -> bool:
        return list(store.run("ACL", "USERS")) == ["default"]

    await eventually(has_user, "a user for the tenant", within_seconds=180)
    operator.freeze()  # else it may be faster than the next look at Redis
    store.kill()
    store.start()
    assert await has_none()
    operator.thaw()
    await eventually(has_user, "its user again", within_seconds=180)
    await api.user.delete(api.ref("TTSTenant", "acme"))
    await eventually(has_none, "its user gone", within_seconds=180)
    assert await asyncio.to_thread(operator.terminate) == 0
