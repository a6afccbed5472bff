"""What the Cluster promises to everything above it, on a real API server."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.operator_world import World
from tts_operator.clock import SystemClock
from tts_operator.cluster.client import Cluster, RequestTimeouts, Write, collect
from tts_operator.cluster.errors import Conflict, NotFound, NotLeading, Refused, Unreachable
from tts_operator.cluster.leader_election import LeaseConflict, Record
from tts_operator.cluster.lease import ClusterLease
from tts_operator.objects.kinds import CONFIG_MAP
from tts_operator.objects.manifest import Manifest


def config_map(namespace: str, name: str = "settings", **data: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": "test"}}
    return Manifest.of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


async def test_what_does_not_exist_is_none(world: World) -> None:
    assert await world.cluster.get(world.ref("ConfigMap", "nothing")) is None


async def test_an_apply_makes_the_object_and_the_next_one_changes_it(world: World) -> None:
    await world.cluster.apply(config_map(world.namespace, colour="red", size="1"), force=False)
    await world.cluster.apply(config_map(world.namespace, colour="blue"), force=True)
    found = await world.get("ConfigMap", "settings")
    assert found["data"] == {"colour": "blue"}
    assert found["kind"] == "ConfigMap"


@pytest.mark.parametrize(
    "text",
    ["\U0001f600", "\U00020bb7", "\\ud83d\\ude00", "a\x85b\u2028c\u2029d", "\ufeff\ufffd\ue000\x7f\x9f", "中文女 é"],
    ids=["emoji", "rare ideograph", "escapes as text", "line ends of YAML", "what does not print", "letters"],
)
async def test_an_apply_changes_no_character_of_any_text(world: World, text: str) -> None:
    await world.cluster.apply(config_map(world.namespace, voice=text), force=False)
    assert (await world.get("ConfigMap", "settings"))["data"] == {"voice": text}


async def test_an_apply_without_force_leaves_another_managers_field_alone(world: World) -> None:
    await world.person.create(dict(config_map(world.namespace, colour="red").body))
    with pytest.raises(Conflict, match="conflict"):
        await world.cluster.apply(config_map(world.namespace, colour="blue"), force=False)
    assert (await world.get("ConfigMap", "settings"))["data"] == {"colour": "red"}


async def test_a_list_names_the_kind_of_its_items_and_goes_over_pages(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tts_operator.cluster.client.PAGE", 2)
    for number in range(5):
        await world.cluster.apply(config_map(world.namespace, f"number-{number}"), force=False)
    found = await collect(world.cluster.list(CONFIG_MAP, world.namespace, "app=test"))
    assert sorted(item["metadata"]["name"] for item in found) == [f"number-{number}" for number in range(5)]
    assert {(item["apiVersion"], item["kind"]) for item in found} == {("v1", "ConfigMap")}


async def test_metadata_only_never_carries_what_a_secret_holds(world: World) -> None:
    secret = world.ref("Secret", "acme-keys")
    metadata = {"name": secret.name, "namespace": secret.namespace}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": "hash"}}
    await world.person.create(body)
    found = await world.cluster.get(secret, metadata_only=True)
    assert found is not None
    assert "data" not in found


async def test_a_delete_takes_only_the_very_object_that_was_seen(world: World) -> None:
    ref = world.ref("ConfigMap", "settings")
    await world.cluster.apply(config_map(world.namespace), force=False)
    with pytest.raises(Conflict):
        await world.cluster.delete(ref, "00000000-0000-0000-0000-000000000000")
    found = await world.get("ConfigMap", "settings")
    await world.cluster.delete(ref, found["metadata"]["uid"])
    with pytest.raises(NotFound):
        await world.cluster.delete(ref, found["metadata"]["uid"])


async def test_a_field_that_the_api_does_not_know_is_refused_rather_than_dropped(world: World) -> None:
    body = {**config_map(world.namespace).body, "colour": "red"}
    with pytest.raises(Refused, match="colour"):
        await world.cluster.apply(Manifest.of(body), force=False)


async def test_a_quota_says_that_it_is_one(world: World) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": world.namespace},
        "spec": {"hard": {"count/networkpolicies.networking.k8s.io": "0"}},
    }
    await world.person.post(f"/api/v1/namespaces/{world.namespace}/resourcequotas", quota)

    def policy(name: str) -> Manifest:
        metadata = {"name": name, "namespace": world.namespace}
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata}
        return Manifest.of({**body, "spec": {"podSelector": {}}})

    async def refused() -> Refused:
        names = (f"acme-{number}" for number in itertools.count())
        while True:  # the quota counts once its controller has seen it, and only new objects
            try:
                await world.cluster.apply(policy(next(names)), force=True)
            except Refused as error:
                return error
            await asyncio.sleep(0.1)

    error = await asyncio.wait_for(refused(), 20)
    assert error.reason == "QuotaExceeded" or "status unknown for quota" in error.message


async def test_a_namespace_that_does_not_exist_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        await world.cluster.apply(config_map("nowhere"), force=False)


async def test_an_api_server_that_does_not_answer_is_unreachable(world: World, tmp_path: Path) -> None:
    async with await Cluster.connect(lambda: True, RequestTimeouts(read_seconds=1)) as cluster:
        cluster._client.configuration.host = "https://127.0.0.1:1"
        with pytest.raises(Unreachable):
            await cluster.get(world.ref("ConfigMap", "settings"))


async def test_who_does_not_lead_writes_nothing_and_reads_everything(world: World) -> None:
    async with await Cluster.connect(lambda: False, wrote=world.writes.append) as standby:
        with pytest.raises(NotLeading):
            await standby.apply(config_map(world.namespace), force=False)
        assert await standby.get(world.ref("ConfigMap", "settings")) is None
    assert world.writes == []


@pytest.mark.parametrize("before", [1, 2], ids=["for a connection", "for the next round of the event loop"])
async def test_leadership_lost_while_the_request_waited_is_noticed_at_its_first_byte(world: World, before: int) -> None:
    answers = iter([True] * before + [False] * 5)
    async with await Cluster.connect(lambda: next(answers)) as cluster:
        with pytest.raises(NotLeading):
            await cluster.apply(config_map(world.namespace), force=False)
    assert await world.cluster.get(world.ref("ConfigMap", "settings")) is None


async def test_each_write_is_counted_by_verb_and_kind(world: World) -> None:
    await world.cluster.apply(config_map(world.namespace), force=False)
    with pytest.raises(NotFound):
        await world.cluster.scale(world.ref("Deployment", "services"), 1, "1")
    assert world.writes == [Write("PATCH", "configmaps", True), Write("PUT", "deployments/scale", False)]


async def test_a_lease_is_made_renewed_and_guarded_by_its_version(world: World) -> None:
    lease = ClusterLease(world.cluster, world.namespace, "tts-operator")
    assert await lease.read() is None
    now = SystemClock().now()
    first = await lease.write(Record("first", 15, now, now))
    assert await lease.read() == first
    assert (first.holder, first.renewed) == ("first", now)
    await lease.write(replace(first, renewed=now + timedelta(seconds=2)))
    with pytest.raises(LeaseConflict):
        await lease.write(Record("second", 15, now, now, 1, first.version))
    with pytest.raises(LeaseConflict):
        await lease.write(Record("third", 15, now, now))
