"""One suite over every Store; then what only files, and what only links of this server, can do wrong."""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import pytest

from tests.support.s3_server import ObjectStore
from tts_server.errors import AudioGone, PermissionDenied, StorageUnavailable
from tts_server.storage.filesystem import FilesystemStore
from tts_server.storage.protocol import KEY, StorageLimits, Store, new_key
from tts_server.storage.s3 import S3Store
from tts_server.storage.signed_links import LinkGrant, Links, link_secret

DAY = StorageLimits(retention_seconds=86_400, max_bytes=1000)
ACME = "team-acme.acme"


class StoreHarness(Protocol):
    """An implementation with `DAY`'s limits, time that passes when told, and the keys of all that lies there."""

    store: Store

    async def advance(self, seconds: float) -> None: ...

    @property
    def files(self) -> list[str]: ...


@dataclass
class FilesHarness:
    """A folder."""

    directory: Path
    seconds: float = field(default_factory=time.time)
    """The kernel's clock at first: a file that is being written has that one's time."""

    def __post_init__(self) -> None:
        self.store = FilesystemStore(self.directory, DAY, lambda: self.seconds)

    async def advance(self, seconds: float) -> None:
        self.seconds += seconds

    @property
    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file())


@pytest.fixture
def files_store(tmp_path: Path) -> FilesHarness:
    return FilesHarness(tmp_path / "audio")


@dataclass
class S3Harness:
    """A bucket of its own. The server's clock is the real one at first: only what this server makes of it advances."""

    object_store: ObjectStore

    def __post_init__(self) -> None:
        self.seconds = time.time()
        self.config = self.object_store.bucket(prefix="audio/v1")
        self.store = S3Store(self.config, DAY, ACME, now=lambda: self.seconds)

    async def advance(self, seconds: float) -> None:
        self.seconds += seconds

    @property
    def files(self) -> list[str]:
        return [name.removeprefix("audio/v1/") for name in self.object_store.names(self.config)]


@pytest.fixture
def s3_store(object_store: ObjectStore) -> Iterator[S3Harness]:
    harness = S3Harness(object_store)
    yield harness
    harness.store.close()


@pytest.fixture(params=["files", "s3"])
def harness(request: pytest.FixtureRequest) -> StoreHarness:
    return cast("StoreHarness", request.getfixturevalue(f"{request.param}_store"))


async def test_what_is_kept_can_be_fetched(harness: StoreHarness) -> None:
    key = new_key(ACME, "mp3")
    await harness.store.keep(key, b"sound")
    audio = await harness.store.fetch(key)
    assert audio is not None
    assert (audio.content, audio.extension) == (b"sound", "mp3")


async def test_what_was_never_kept_is_not_there(harness: StoreHarness) -> None:
    assert await harness.store.fetch(new_key(ACME, "mp3")) is None


async def test_keys_are_the_tenants_own_and_never_the_same(harness: StoreHarness) -> None:
    keys = {new_key(ACME, "wav") for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith(f"{ACME}/") and key.endswith(".wav") and KEY.fullmatch(key) for key in keys)


@pytest.mark.parametrize(
    "key",
    ["", "..", "../x.mp3", "a/../b.mp3", "/etc/passwd", "acme/.link-secret", ".link-secret", "acme/x.mp3", "acme\0/x",
     "../00000000-0000-4000-8000-000000000000.mp3", "a/b/00000000-0000-4000-8000-000000000000.mp3",
     "acme/00000000-0000-4000-8000-000000000000.mp3/", "acme/00000000-0000-4000-8000-000000000000.mp3\n"],
)  # fmt: skip
async def test_no_key_leads_anywhere_else(harness: StoreHarness, key: str) -> None:
    assert await harness.store.fetch(key) is None


async def test_audio_is_gone_after_its_time_before_anyone_sweeps(harness: StoreHarness) -> None:
    key = new_key(ACME, "mp3")
    await harness.store.keep(key, b"sound")
    await harness.advance(86_390)
    assert await harness.store.fetch(key) is not None
    await harness.advance(20)
    assert await harness.store.fetch(key) is None


async def test_what_is_removed_is_gone_and_may_be_removed_again(harness: StoreHarness) -> None:
    key, other = new_key(ACME, "mp3"), new_key(ACME, "mp3")
    await harness.store.keep(key, b"sound")
    await harness.store.keep(other, b"sound")
    for _ in range(2):
        await harness.store.remove(key)
    assert await harness.store.fetch(key) is None
    assert await harness.store.fetch(other) is not None


async def test_what_is_kept_again_is_what_was_kept_last(harness: StoreHarness) -> None:
    key = new_key(ACME, "mp3")
    for content in (b"first", b"second"):
        await harness.store.keep(key, content)
    audio = await harness.store.fetch(key)
    assert audio is not None
    assert audio.content == b"second"


async def test_a_sweep_removes_what_is_past_its_time(harness: StoreHarness) -> None:
    for _ in range(3):
        await harness.store.keep(new_key(ACME, "mp3"), b"sound")
    await harness.advance(86_410)
    for _ in range(2):  # a sweep is bounded: the second one ends what the first one began
        await harness.store.sweep()
    assert harness.files == []


async def test_a_sweep_leaves_what_has_time_left(harness: StoreHarness) -> None:
    key = new_key(ACME, "mp3")
    await harness.store.keep(key, b"sound")
    await harness.advance(86_000)
    for _ in range(2):
        await harness.store.sweep()
    assert harness.files == [key]


async def test_the_oldest_audio_makes_room_for_the_newest(files_store: FilesHarness) -> None:
    harness = files_store
    keys = [new_key(ACME, "mp3") for _ in range(12)]
    for key in keys:
        await harness.store.keep(key, b"x" * 100)
        await harness.advance(1)
    await harness.store.sweep()
    there = [await harness.store.fetch(key) is not None for key in keys]
    assert there[-1]
    assert there == sorted(there), "the oldest went first"
    assert 8 <= sum(there) <= 10


async def test_a_tenant_that_stores_much_makes_room_at_its_own_cost(files_store: FilesHarness) -> None:
    harness = files_store
    kept = new_key("team-quiet.quiet", "mp3")
    await harness.store.keep(kept, b"x" * 100)
    for _ in range(30):
        await harness.advance(1)
        await harness.store.keep(new_key(ACME, "mp3"), b"x" * 100)
    assert await harness.store.fetch(kept) is not None, "though it is the oldest"
    assert sum(name.startswith(ACME) for name in harness.files) <= 9


async def test_a_shared_pool_sweeps_what_all_its_tenants_have_stored(object_store: ObjectStore) -> None:
    config, day_later = object_store.bucket(prefix="shared/espeak"), time.time() + 86_401
    store = S3Store(config, DAY, "", now=lambda: day_later)
    try:
        for tenant in (ACME, "team-quiet.quiet"):
            await store.keep(new_key(tenant, "mp3"), b"x")
        while object_store.names(config):  # a sweep starts at a random key, the next one at the first
            await store.sweep()
    finally:
        store.close()


async def test_what_the_whole_store_cannot_hold_is_refused(files_store: FilesHarness) -> None:
    harness = files_store
    kept = new_key(ACME, "mp3")
    await harness.store.keep(kept, b"x" * 900)
    with pytest.raises(StorageUnavailable):
        await harness.store.keep(new_key(ACME, "mp3"), b"x" * 1001)
    assert await harness.store.fetch(kept) is not None, "and nothing made room for it"


async def test_many_at_once_are_all_kept_or_swept_whole(harness: StoreHarness) -> None:
    keys = [new_key(ACME, "mp3") for _ in range(30)]
    await asyncio.gather(*(harness.store.keep(key, key.encode() * 2) for key in keys))
    for key in keys:
        audio = await harness.store.fetch(key)
        assert audio is None or audio.content == key.encode() * 2


async def test_a_folder_inside_the_folder_is_nothing_to_sweep(files_store: FilesHarness) -> None:
    inner = files_store.directory / ".cache" / ACME
    inner.mkdir(parents=True)
    os.utime(inner, (0, 0))
    await files_store.store.sweep()
    assert inner.exists()


async def test_what_others_keep_in_the_folder_is_nothing_to_sweep(files_store: FilesHarness) -> None:
    kept = new_key(ACME, "mp3")
    await files_store.store.keep(kept, b"sound")
    others = ["photos/holiday.jpg", "images/tts-server-0123456789ab.tar", f"{ACME}/notes.txt", "link.secret"]
    for name in others:
        path = files_store.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * DAY.max_bytes)
    await files_store.store.sweep()
    assert files_store.files == sorted([kept, *others]), "they do not count, either"
    await files_store.advance(DAY.retention_seconds + 1)
    await files_store.store.sweep()
    assert files_store.files == sorted(others)


async def test_a_file_that_was_never_finished_is_swept_when_nobody_can_be_writing_it(files_store: FilesHarness) -> None:
    unfinished = files_store.directory / ACME / ".part-0011"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"half")
    os.utime(unfinished, (files_store.seconds, files_store.seconds))
    await files_store.store.sweep()
    assert unfinished.exists()
    await files_store.advance(600)
    await files_store.store.sweep()
    assert not unfinished.exists()


async def test_nothing_is_left_of_a_write_that_failed(files_store: FilesHarness) -> None:
    key = new_key(ACME, "mp3")
    (files_store.directory / key).mkdir(parents=True)  # in the way of the rename
    with pytest.raises(StorageUnavailable):
        await files_store.store.keep(key, b"sound")
    assert files_store.files == []


async def test_a_link_in_the_folder_is_not_followed(files_store: FilesHarness, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    key = new_key(ACME, "mp3")
    (files_store.directory / ACME).mkdir(parents=True)
    (files_store.directory / key).symlink_to(secret)
    assert await files_store.store.fetch(key) is None


async def test_files_are_nobody_elses_to_read(files_store: FilesHarness) -> None:
    key = new_key(ACME, "mp3")
    await files_store.store.keep(key, b"sound")
    assert (files_store.directory / key).stat().st_mode & 0o777 == 0o600
    assert (files_store.directory / ACME).stat().st_mode & 0o777 == 0o700


def links(now: float = 1000.0, secret: bytes = b"s" * 32, owner: str = "uid-1") -> Links:
    return Links(secret, owner, lambda: now)


def test_a_link_is_good_until_it_expires() -> None:
    key = new_key(ACME, "mp3")
    permission = links().allow(key, 60)
    links(now=1059.9).check(key, permission)
    with pytest.raises(AudioGone):
        links(now=1060).check(key, permission)


def test_a_link_opens_its_own_audio_only() -> None:
    key = new_key(ACME, "mp3")
    permission = links().allow(key, 60)
    for changed in (
        LinkGrant(permission.replica, permission.expires + 1, permission.signature),
        LinkGrant(permission.replica, permission.expires, ""),
        LinkGrant(permission.replica, permission.expires, "é"),
    ):
        with pytest.raises(PermissionDenied):
            links().check(key, changed)
    with pytest.raises(PermissionDenied):
        links().check(new_key(ACME, "mp3"), permission)


def test_a_namesake_of_the_tenant_cannot_open_it() -> None:
    key = new_key(ACME, "mp3")
    with pytest.raises(PermissionDenied):
        links(owner="uid-2").check(key, links().allow(key, 60))


def test_another_replica_says_that_the_audio_is_elsewhere() -> None:
    key = new_key(ACME, "mp3")
    with pytest.raises(AudioGone, match="another replica"):
        links(secret=b"t" * 32).check(key, links().allow(key, 60))


def test_links_outlive_a_restart(tmp_path: Path) -> None:
    assert link_secret(tmp_path) == link_secret(tmp_path)
    assert len(link_secret(tmp_path)) == 32
    assert [path.name for path in tmp_path.iterdir()] == [".link-secret"]
    assert (tmp_path / ".link-secret").stat().st_mode & 0o777 == 0o600


def test_a_secret_that_was_never_finished_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".link-secret").write_bytes(b"short")
    assert len(link_secret(tmp_path)) == 32
