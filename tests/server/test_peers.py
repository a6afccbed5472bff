"""Links to local files, at every replica: two applications, one of them behind a real port."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.replicas import OTHER, OWNER, Replicas, replicas
from tests.support.replies import refusal
from tests.support.server_app import Call
from tests.support.server_process import running
from tests.support.timeouts import HANG_SECONDS
from tts_server.config.schema import ModelConfig, ServerConfig, StorageConfig
from tts_server.storage import peers as peers_module
from tts_server.storage.peers import Peers, place_of


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Replicas]:
    async with replicas(tmp_path) as running:
        yield running


async def test_any_replica_hands_out_what_another_one_keeps(fleet: Replicas) -> None:
    link = await fleet.link()
    here, there = await fleet.owner.client.get(link), await fleet.other.client.get(link)
    assert there.status_code == 200
    assert there.content == here.content
    assert len(there.content) == 44 + 3200
    for name in ("content-type", "content-length", "cache-control", "x-content-type-options"):
        assert there.headers[name] == here.headers[name]
    assert OWNER not in link, "and the link shows nobody's address"


async def test_a_links_signature_is_the_owners_to_check(fleet: Replicas) -> None:
    link = await fleet.link()
    assert refusal(await fleet.other.client.get(link[:-1] + ("0" if link[-1] != "0" else "1"))) == (
        403, None, "permission_denied",
    )  # fmt: skip
    assert fleet.asked() == 1


async def test_audio_that_the_owner_removed_is_gone_everywhere(fleet: Replicas, tmp_path: Path) -> None:
    link = await fleet.link()
    for file in (tmp_path / "owner" / "audio" / "team-acme.acme").iterdir():
        file.unlink()
    assert refusal(await fleet.other.client.get(link)) == (410, None, "audio_gone")


async def test_a_replica_that_is_gone_takes_its_audio_along(fleet: Replicas) -> None:
    link = await fleet.link()
    assert (await fleet.other.client.get(link)).status_code == 200
    await fleet.stop_owner()
    assert refusal(await fleet.other.client.get(link)) == (410, None, "audio_gone")


async def test_only_addresses_of_the_service_are_ever_asked(fleet: Replicas) -> None:
    link = await fleet.link()
    place = place_of(OWNER)
    for elsewhere in (place_of("169.254.169.254"), "0" * 16, "127-0-0-1-xxxxxx", "evil.example.com"):
        assert refusal(await fleet.other.client.get(link.replace(place, elsewhere))) == (410, None, "audio_gone")
    assert refusal(await fleet.other.client.get(link.replace(place, place * 2))) == (410, None, "audio_gone")
    assert fleet.asked() == 0


@pytest.mark.parametrize("path", ["../../healthz", "a/b", "%2e%2e/%2e%2e/v1/models", "team-acme.acme/x.mp3?x=1"])
async def test_only_keys_of_audio_are_ever_asked_for(fleet: Replicas, path: str) -> None:
    query = (await fleet.link()).partition("?")[2]
    assert (await fleet.other.client.get(f"/v1/tts/audio/{path}?{query}")).status_code in {403, 404, 410}
    assert fleet.asked() == 0


async def test_who_is_asked_asks_nobody(fleet: Replicas) -> None:
    reply = await fleet.other.client.get(await fleet.link(), headers={"x-tts-hop": "1"})
    assert refusal(reply) == (410, None, "audio_gone")
    assert fleet.asked() == 0


async def test_a_link_that_has_expired_bothers_nobody(fleet: Replicas) -> None:
    link = await fleet.link()
    expires = link.partition("expires=")[2].partition("&")[0]
    assert refusal(await fleet.other.client.get(link.replace(expires, "1"))) == (410, None, "audio_gone")
    assert fleet.asked() == 0


async def test_who_has_the_address_now_does_not_know_the_links_of_before(tmp_path: Path) -> None:
    async with replicas(tmp_path / "one") as before:
        link = await before.link()
    async with replicas(tmp_path / "two") as after:
        assert refusal(await after.other.client.get(link)) == (410, None, "audio_gone")
        assert after.asked() == 1


async def test_a_replica_that_hangs_is_waited_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "READ_SECONDS", 0.1)
    async with replicas(tmp_path) as fleet:
        link = await fleet.link()
        never = asyncio.Event()

        async def hang(key: str) -> None:
            await never.wait()

        monkeypatch.setattr(fleet.owner.application.server.store, "fetch", hang)
        assert refusal(await fleet.other.client.get(link)) == (503, None, "storage_unavailable")
        never.set()


async def test_audio_that_breaks_off_on_its_way_is_cut(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async with replicas(tmp_path) as fleet:
        link = await fleet.link()
        broken = await asyncio.start_server(answer, OWNER, 0)
        port = broken.sockets[0].getsockname()[1]
        fleet.other.application.server.peers = Peers(f"http://localhost:{port}")
        path, _, query = link.partition("?")
        call = Call(fleet.other, {}, path=path, method="GET", query=query)
        await call.run()
        assert call.status == 200
        assert call.parts == [b"half"]
        assert not call.has_ended()
        broken.close()
        await broken.wait_closed()


async def test_a_replica_asks_for_addresses_once_for_many_links(fleet: Replicas) -> None:
    asked = 0

    async def resolve(host: str, port: int) -> list[str]:
        nonlocal asked
        asked += 1
        return [OWNER]

    fleet.other.application.server.peers = Peers(f"http://replicas.test:{fleet.port}", resolve)
    link = await fleet.link()
    replies = await asyncio.gather(*(fleet.other.client.get(link) for _ in range(20)))
    assert {reply.status_code for reply in replies} == {200}
    assert asked <= 2


async def test_without_an_answer_from_the_names_nobody_says_gone(fleet: Replicas) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("no DNS")

    fleet.other.application.server.peers = Peers(f"http://replicas.test:{fleet.port}", resolve)
    assert refusal(await fleet.other.client.get(await fleet.link())) == (503, None, "storage_unavailable")


def test_places_are_addresses_only() -> None:
    assert place_of("10.0.0.1") != place_of("10.0.0.2")
    assert place_of("fd00::1") == place_of("fd00:0:0:0:0:0:0:1")
    for wrong in ("", "localhost", "10.0.0.1:8080"):
        with pytest.raises(ValueError, match="address"):
            place_of(wrong)


def test_two_real_servers_hand_out_each_others_audio(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("owner", "other")]
    for folder in folders:
        folder.mkdir()

    def configured(folder: Path, peers_url: str | None = None) -> str:
        storage = StorageConfig(directory=folder / "audio", peers_url=peers_url)
        file = folder / "server.json"
        file.write_text(
            ServerConfig(
                models=(ModelConfig(name="espeak", first_audio_timeout_seconds=HANG_SECONDS),), storage=storage
            ).model_dump_json(by_alias=True)
        )
        return f"--config={file}"

    with running(folders[0], configured(folders[0]), f"--replica={OWNER}") as owner:
        arguments = configured(folders[1], f"http://localhost:{owner.port}"), f"--replica={OTHER}"
        with running(folders[1], *arguments) as other:
            url = httpx.post(f"{owner.url}/v1/tts/synthesize", json={"text": "Hello."}, timeout=30).json()["audio_url"]
            elsewhere = url.replace(owner.url, other.url)
            assert elsewhere != url
            assert httpx.get(elsewhere, timeout=HANG_SECONDS).content == httpx.get(url, timeout=HANG_SECONDS).content
            os.kill(owner.process.pid, signal.SIGKILL)
            owner.process.wait()
            assert httpx.get(elsewhere, timeout=HANG_SECONDS).status_code == 410
