"""Cluster keeps its promises on a real API server."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.api_server import PATIENCE_SECONDS, ApiServer
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


async def test_what_does_not_exist_is_none(api: ApiServer) -> None:
    assert await api.cluster.get(api.ref("ConfigMap", "nothing")) is None


async def test_an_apply_makes_the_object_and_the_next_one_changes_it(api: ApiServer) -> None:
    await api.cluster.apply(config_map(api.namespace, colour="red", size="1"), force=False)
    await api.cluster.apply(config_map(api.namespace, colour="blue"), force=True)
    found = await api.get("ConfigMap", "settings")
    assert found["data"] == {"colour": "blue"}
    assert found["kind"] == "ConfigMap"


@pytest.mark.parametrize(
    "text",
    ["\U0001f600", "\U00020bb7", "\\ud83d\\ude00", "a\x85b\u2028c\u2029d", "\ufeff\ufffd\ue000\x7f\x9f", "中文女 é"],
    ids=["emoji", "rare ideograph", "escapes as text", "line ends of YAML", "what does not print", "letters"],
)
async def test_an_apply_changes_no_character_of_any_text(api: ApiServer, text: str) -> None:
    await api.cluster.apply(config_map(api.namespace, voice=text), force=False)
    assert (await api.get("ConfigMap", "settings"))["data"] == {"voice": text}


async def test_an_apply_without_force_leaves_another_managers_field_alone(api: ApiServer) -> None:
    await api.user.create(dict(config_map(api.namespace, colour="red").body))
    with pytest.raises(Conflict, match="conflict"):
        await api.cluster.apply(config_map(api.namespace, colour="blue"), force=False)
    assert (await api.get("ConfigMap", "settings"))["data"] == {"colour": "red"}


async def test_a_list_names_the_kind_of_its_items_and_goes_over_pages(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tts_operator.cluster.client.PAGE", 2)
    for number in range(5):
        await api.cluster.apply(config_map(api.namespace, f"number-{number}"), force=False)
    found = await collect(api.cluster.list(CONFIG_MAP, api.namespace, "app=test"))
    assert sorted(item["metadata"]["name"] for item in found) == [f"number-{number}" for number in range(5)]
    assert {(item["apiVersion"], item["kind"]) for item in found} == {("v1", "ConfigMap")}


async def test_metadata_only_never_carries_what_a_secret_holds(api: ApiServer) -> None:
    secret = api.ref("Secret", "acme-keys")
    metadata = {"name": secret.name, "namespace": secret.namespace}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": "hash"}}
    await api.user.create(body)
    found = await api.cluster.get(secret, metadata_only=True)
    assert found is not None
    assert "data" not in found


async def test_a_delete_takes_only_the_very_object_that_was_seen(api: ApiServer) -> None:
    ref = api.ref("ConfigMap", "settings")
    await api.cluster.apply(config_map(api.namespace), force=False)
    with pytest.raises(Conflict):
        await api.cluster.delete(ref, "00000000-0000-0000-0000-000000000000")
    found = await api.get("ConfigMap", "settings")
    await api.cluster.delete(ref, found["metadata"]["uid"])
    with pytest.raises(NotFound):
        await api.cluster.delete(ref, found["metadata"]["uid"])


async def test_a_field_that_the_api_does_not_know_is_refused_rather_than_dropped(api: ApiServer) -> None:
    body = {**config_map(api.namespace).body, "colour": "red"}
    with pytest.raises(Refused, match="colour"):
        await api.cluster.apply(Manifest.of(body), force=False)


async def test_a_quota_says_that_it_is_one(api: ApiServer) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": api.namespace},
        "spec": {"hard": {"count/networkpolicies.networking.k8s.io": "0"}},
    }
    await api.user.post(f"/api/v1/namespaces/{api.namespace}/resourcequotas", quota)

    def policy(name: str) -> Manifest:
        metadata = {"name": name, "namespace": api.namespace}
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata}
        return Manifest.of({**body, "spec": {"podSelector": {}}})

    async def refused() -> Refused:
        names = (f"acme-{number}" for number in itertools.count())
        while True:  # the quota counts once its controller has seen it, and only new objects
            try:
                await api.cluster.apply(policy(next(names)), force=True)
            except Refused as error:
                return error
            await asyncio.sleep(0.1)

    error = await asyncio.wait_for(refused(), PATIENCE_SECONDS)
    assert error.reason == "QuotaExceeded" or "status unknown for quota" in error.message


async def test_a_namespace_that_does_not_exist_is_not_found(api: ApiServer) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        await api.cluster.apply(config_map("nowhere"), force=False)


async def test_an_api_server_that_does_not_answer_is_unreachable(api: ApiServer, tmp_path: Path) -> None:
    async with await Cluster.connect(lambda: True, RequestTimeouts(read_seconds=1)) as cluster:
        cluster._client.configuration.host = "https://127.0.0.1:1"
        with pytest.raises(Unreachable):
            await cluster.get(api.ref("ConfigMap", "settings"))


UNANSWERED = {
    "closed before a byte": b"",
    "closed in the headers": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "closed in the body": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"kind": ',
    "a body that is not JSON": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no answer in time": None,
}


@pytest.mark.parametrize("answer", UNANSWERED.values(), ids=UNANSWERED)
async def test_a_write_without_an_answer_has_failed(api: ApiServer, answer: bytes | None) -> None:
    writes, stored = list[Write](), list[str]()

    async def spoil(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is not None:
            writer.write(answer)
            await writer.drain()
        else:
            await reader.read()  # to the end of the connection
        writer.close()

    async with await asyncio.start_server(spoil, "127.0.0.1", 0) as server:
        timeouts = RequestTimeouts(write_seconds=1)
        async with await Cluster.connect(lambda: True, timeouts, writes.append) as cluster:
            cluster._client.configuration.host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            cluster.stored = lambda _method, path, _answer: stored.append(path)
            with pytest.raises(Unreachable, match="PATCH /api/v1/namespaces/"):
                await cluster.apply(config_map(api.namespace), force=False)
    assert writes == [Write("PATCH", "configmaps", False)]
    assert stored == []


async def test_who_does_not_lead_writes_nothing_and_reads_everything(api: ApiServer) -> None:
    async with await Cluster.connect(lambda: False, wrote=api.writes.append) as standby:
        with pytest.raises(NotLeading):
            await standby.apply(config_map(api.namespace), force=False)
        assert await standby.get(api.ref("ConfigMap", "settings")) is None
    assert api.writes == []


@pytest.mark.parametrize("before", [1, 2], ids=["for a connection", "for the next round of the event loop"])
async def test_leadership_lost_while_the_request_waited_is_noticed_at_its_first_byte(
    api: ApiServer, before: int
) -> None:
    answers = iter([True] * before + [False] * 5)
    async with await Cluster.connect(lambda: next(answers)) as cluster:
        with pytest.raises(NotLeading):
            await cluster.apply(config_map(api.namespace), force=False)
    assert await api.cluster.get(api.ref("ConfigMap", "settings")) is None


async def test_each_write_is_counted_by_verb_and_kind(api: ApiServer) -> None:
    await api.cluster.apply(config_map(api.namespace), force=False)
    with pytest.raises(NotFound):
        await api.cluster.scale(api.ref("Deployment", "services"), 1, "1")
    assert api.writes == [Write("PATCH", "configmaps", True), Write("PUT", "deployments/scale", False)]


async def test_a_lease_is_made_renewed_and_guarded_by_its_version(api: ApiServer) -> None:
    lease = ClusterLease(api.cluster, api.namespace, "tts-operator")
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
