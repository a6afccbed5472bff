"""The object store alone: presigned links, keys that rotate, and outages."""

import asyncio
import base64
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from hack.cluster.certificates import Authority
from tests.support.s3_server import SECRET_KEY, ObjectStore, running_object_store
from tests.support.server_app import config, running_app
from tests.support.timeouts import HANG_SECONDS
from tts_server.circuit_breaker import SERVICE, Breaker
from tts_server.config.schema import S3Config, StorageConfig
from tts_server.errors import StorageUnavailable
from tts_server.storage.protocol import Audio, StorageLimits, new_key
from tts_server.storage.s3 import CALL_SECONDS, S3Store

DAY = StorageLimits(retention_seconds=86_400, max_bytes=1000)
ACME = "team-acme.acme"


@dataclass
class Opened:
    """Stores of one test, closed after it."""

    stores: list[S3Store]
    seconds: float = 0.0
    """Seconds by the breaker's clock."""

    def store(self, config: S3Config) -> S3Store:
        self.stores.append(S3Store(config, DAY, ACME, breaker=Breaker(lambda: self.seconds, SERVICE)))
        return self.stores[-1]


@pytest.fixture
def opened() -> Iterator[Opened]:
    opened = Opened([])
    yield opened
    for store in opened.stores:
        store.close()


async def test_a_link_leads_to_the_audio_with_its_type(object_store: ObjectStore, opened: Opened) -> None:
    store = opened.store(object_store.bucket(prefix="kept"))
    key = new_key(ACME, "mp3")
    await store.keep(key, b"sound", "audio/mpeg")
    async with httpx.AsyncClient(trust_env=False, timeout=HANG_SECONDS) as client:
        reply = await client.get(store.link(key, 60))
        assert (reply.status_code, reply.content, reply.headers["content-type"]) == (200, b"sound", "audio/mpeg")
        assert (
            await client.get(store.link(key, 60).replace("X-Amz-Signature=", "X-Amz-Signature=0"))
        ).status_code == 403
        assert (await client.get(store.link(new_key(ACME, "mp3"), 60))).status_code == 404


async def test_links_are_signed_for_the_address_that_callers_know(object_store: ObjectStore, opened: Opened) -> None:
    localhost = f"http://localhost:{object_store.address.rpartition(':')[2]}"
    store = opened.store(object_store.bucket(public_endpoint=localhost))
    key = new_key(ACME, "mp3")
    await store.keep(key, b"sound")
    link = store.link(key, 60)
    assert link.startswith(f"{localhost}/bucket-")
    async with httpx.AsyncClient(trust_env=False, timeout=HANG_SECONDS) as client:
        assert (await client.get(link)).content == b"sound", "the signature holds for that host"


def test_a_bucket_may_be_part_of_the_host_name(object_store: ObjectStore, opened: Opened) -> None:
    config = object_store.bucket(
        path_style=False, endpoint="https://s3.example.com", public_endpoint="https://audio.example.com"
    )
    link = urlsplit(opened.store(config).link(new_key(ACME, "mp3"), 10**9))
    assert (link.scheme, link.netloc) == ("https", f"{config.bucket}.audio.example.com")
    assert "X-Amz-Expires=604800" in link.query, "the longest there is"
    assert "us-east-1" in link.query


async def test_audio_of_many_parts_is_kept_in_one_piece(object_store: ObjectStore, opened: Opened) -> None:
    store = opened.store(object_store.bucket())
    key, content = new_key(ACME, "wav"), bytes(range(256)) * 50_000
    await store.keep(key, content)
    audio = await store.fetch(key)
    assert audio is not None
    assert audio.content == content


async def test_a_sweep_touches_nothing_of_others(object_store: ObjectStore, opened: Opened) -> None:
    config = object_store.bucket(prefix="kept")
    store = S3Store(config, DAY, ACME, now=lambda: time.time() + 10**6)
    opened.stores.append(store)
    others = {
        "kept/team-acme.acme/notes.txt",
        "kept/team-acme.acme.other/x",
        "other",
        f"kept/{new_key('other.b', 'mp3')}",
    }
    async with httpx.AsyncClient(trust_env=False, timeout=HANG_SECONDS) as client:
        for name in others:
            url = object_store.client.presigned_put_object(config.bucket, name)
            assert (await client.put(url, content=b"x")).status_code == 200
    await store.keep(new_key(ACME, "mp3"), b"sound")
    for _ in range(2):
        await store.sweep()
    assert set(object_store.names(config)) == others


async def test_keys_are_read_again_when_they_change(object_store: ObjectStore, opened: Opened, tmp_path: Path) -> None:
    secret = tmp_path / "secretKey"
    secret.write_text("wrong-wrong-wrong")
    store = opened.store(object_store.bucket(secret_key_file=secret))
    with pytest.raises(StorageUnavailable) as refused:
        await store.keep(new_key(ACME, "mp3"), b"sound")
    assert "wrong" not in refused.value.message
    secret.write_text(SECRET_KEY)
    opened.seconds += 5
    await store.keep(new_key(ACME, "mp3"), b"sound")


@pytest.mark.parametrize("change", [{"bucket": "no-such-bucket"}, {"endpoint": "http://127.0.0.1:9"}])
async def test_what_cannot_be_kept_or_known_says_so(
    object_store: ObjectStore, opened: Opened, change: dict[str, str]
) -> None:
    store = opened.store(object_store.bucket().model_copy(update=change))
    with pytest.raises(StorageUnavailable):
        await store.keep(new_key(ACME, "mp3"), b"sound")
    opened.seconds += 5
    with pytest.raises(StorageUnavailable):
        await store.fetch(new_key(ACME, "mp3"))
    opened.seconds += 5
    with pytest.raises(StorageUnavailable):
        await store.sweep()


async def test_keys_that_are_missing_are_told_and_refuse_links_too(
    object_store: ObjectStore, opened: Opened, tmp_path: Path
) -> None:
    store = opened.store(object_store.bucket(access_key_file=tmp_path / "nowhere"))
    with pytest.raises(StorageUnavailable, match="NoCredentials"):
        await store.keep(new_key(ACME, "mp3"), b"sound")
    with pytest.raises(StorageUnavailable, match="NoCredentials"):
        store.link(new_key(ACME, "mp3"), 60)


async def test_a_store_with_tls_must_show_who_it_is(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with running_object_store(tmp_path / "store", Authority(tmp_path / "authority")) as secure:
        store = opened.store(secure.bucket())
        key = new_key(ACME, "mp3")
        await store.keep(key, b"sound")
        assert store.link(key, 60).startswith(f"https://{secure.address}/")
        stranger = Authority(tmp_path / "stranger").pair.certificate
        with pytest.raises(StorageUnavailable):
            await opened.store(secure.bucket(ca_file=stranger)).keep(key, b"sound")
        with pytest.raises(StorageUnavailable):
            await opened.store(secure.bucket(ca_file=None)).keep(key, b"sound")


async def test_certificates_are_read_once_for_all_connections_and_again_when_they_change(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = ssl.SSLContext.load_verify_locations

    def counted(context: ssl.SSLContext, *args: Any, **options: Any) -> None:
        reads.append(context)
        read(context, *args, **options)

    (tmp_path / "store").mkdir()
    with running_object_store(tmp_path / "store", Authority(tmp_path / "authority")) as secure:
        trusted = tmp_path / "trusted.crt"
        trusted.write_bytes(Authority(tmp_path / "stranger").pair.certificate.read_bytes())
        store = opened.store(secure.bucket(ca_file=trusted))
        with pytest.raises(StorageUnavailable):
            await store.keep(new_key(ACME, "mp3"), b"sound")
        assert secure.ca_file is not None
        trusted.write_bytes(secure.ca_file.read_bytes())
        monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
        opened.seconds += 60  # so that one asks again, and then all
        await store.keep(new_key(ACME, "mp3"), b"sound")
        keys = [new_key(ACME, "mp3") for _ in range(8)]
        await asyncio.gather(*(store.keep(key, b"sound") for key in keys))
        assert [await store.fetch(key) for key in keys] == [Audio(b"sound", "mp3")] * 8
        assert len(reads) == 1
        trusted.unlink()
        other = opened.store(secure.bucket(ca_file=trusted))
        with pytest.raises(StorageUnavailable, match="MaxRetryError"):
            await other.keep(new_key(ACME, "mp3"), b"sound")


async def test_a_store_that_hangs_is_waited_for_once_and_found_again(object_store: ObjectStore, opened: Opened) -> None:
    store = opened.store(object_store.bucket())
    key = new_key(ACME, "mp3")
    await store.keep(key, b"sound")
    with object_store.hung():
        begun = time.monotonic()
        ticks = 0
        calls = [asyncio.create_task(store.keep(new_key(ACME, "mp3"), b"sound")) for _ in range(40)]
        while not all(call.done() for call in calls):
            await asyncio.sleep(0.01)
            ticks += 1
        assert all(isinstance(call.exception(), StorageUnavailable) for call in calls)
        assert time.monotonic() - begun < 5 * CALL_SECONDS, "one after the other they would take 80 s"
        assert ticks > CALL_SECONDS * 20, "and the event loop goes round meanwhile"
        begun = time.monotonic()
        for _ in range(20):
            with pytest.raises(StorageUnavailable):
                await store.fetch(key)
        assert time.monotonic() - begun < 5 * CALL_SECONDS, "if each waited, they would take 40 s"
    opened.seconds += 5
    audio = await store.fetch(key)
    assert audio is not None
    assert audio.content == b"sound"


PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n<html>Sign in!"
HALF = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: 7\r\n\r\n<Error>"


@pytest.mark.parametrize("answer", [PAGE, HALF], ids=["a page", "half a document"])
async def test_what_is_no_answer_of_a_store_is_an_outage(opened: Opened, tmp_path: Path, answer: bytes) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    keys = tmp_path / "keys"
    keys.write_text("tests")
    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        endpoint = f"http://{host}:{port}"
        store = opened.store(
            S3Config(endpoint=endpoint, bucket="audio", path_style=True, access_key_file=keys, secret_key_file=keys)
        )
        with pytest.raises(StorageUnavailable):
            await store.fetch(new_key(ACME, "mp3"))
        opened.seconds += 5
        with pytest.raises(StorageUnavailable):
            await store.sweep()


async def test_a_store_that_is_closed_meanwhile_is_away_for_who_still_has_it(
    object_store: ObjectStore, opened: Opened
) -> None:
    store = opened.store(object_store.bucket())
    store.close()
    with pytest.raises(StorageUnavailable):
        await store.sweep()


async def test_the_native_route_answers_with_a_presigned_link(object_store: ObjectStore, tmp_path: Path) -> None:
    storage = StorageConfig(directory=tmp_path / "audio", s3=object_store.bucket())
    async with (
        running_app(config(tmp_path, storage=storage)) as acme,
        httpx.AsyncClient(trust_env=False, timeout=HANG_SECONDS) as client,
    ):
        said = (await acme.synthesize(format="wav")).json()
        assert list(said) == [
            *(
                "request_id",
                "audio_url",
                "duration",
                "engine_used",
                "voices_used",
                "status",
                "fallback_reason",
                "cached",
            ),
        ]
        audio = await client.get(said["audio_url"])
        assert audio.headers["content-type"] == "audio/wav"
        assert len(audio.content) == 44 + 3200


async def test_without_the_store_callers_get_their_audio_in_time(object_store: ObjectStore, tmp_path: Path) -> None:
    storage = StorageConfig(directory=tmp_path / "audio", s3=object_store.bucket())
    async with running_app(config(tmp_path, storage=storage)) as acme:
        with object_store.hung():
            for longest_seconds in (2 * CALL_SECONDS, CALL_SECONDS, CALL_SECONDS):
                begun = time.monotonic()
                reply = await acme.synthesize(format="wav")
                assert time.monotonic() - begun < longest_seconds
                assert reply.status_code == 200
                said = reply.json()
                assert (said["audio_url"], said["audio_url_error"]["code"]) == (None, "storage_unavailable")
                assert len(base64.b64decode(said["audio"])) == 44 + 3200


async def test_a_running_server_moves_to_another_store(object_store: ObjectStore, tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    local = config(tmp_path)
    file.write_text(local.model_dump_json(by_alias=True))
    async with running_app(local, config_file=file) as acme:
        before = (await acme.synthesize(format="wav")).json()["audio_url"]
        moved = local.model_copy(
            update={"storage": StorageConfig(directory=tmp_path / "audio", s3=object_store.bucket())}
        )
        file.write_text(moved.model_dump_json(by_alias=True))
        await acme.application.watcher.poll()
        after = (await acme.synthesize(format="wav")).json()["audio_url"]
        assert before.startswith("http://acme.test/")
        assert after.startswith(f"http://{object_store.address}/bucket-")
