"""Files that change under a running server: as an editor, a copy and the kubelet change them."""

import asyncio
import hashlib
import itertools
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from prometheus_client import generate_latest

from tests.support.exhausted import no_free_descriptor
from tests.support.mounted_volume import MountedVolume
from tests.support.server_app import RunningApp, ToneClient, config, until
from tts_server.app.build import Application, Sources
from tts_server.config.files import BrokenFile, FailedForNow, read_model
from tts_server.config.schema import AuthConfig, AuthMode, ModelConfig, QuotaConfig, ServerConfig, VoiceConfig
from tts_server.config.watcher import Watcher, signature

KEY = "tts_correct-horse-battery-staple"


@dataclass
class Mutable(RunningApp):
    """A running application with the volumes that its server reads."""

    volumes: dict[str, MountedVolume] = field(default_factory=dict)


class Reloads:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    async def reload(self) -> None:
        self.count += 1


def in_place(path: Path) -> None:
    path.write_text("changed in place")


def by_rename(path: Path) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text("x")
    fresh.rename(path)


def same_size_same_second(path: Path) -> None:
    state = path.stat()
    path.write_text("y")
    os.utime(path, ns=(state.st_mtime_ns, state.st_mtime_ns + 1))


@pytest.mark.parametrize("change", [in_place, by_rename, same_size_same_second])
async def test_every_kind_of_change_is_seen_once(tmp_path: Path, change: Any) -> None:
    path, reloads, watcher = tmp_path / "quota.json", Reloads(), Watcher()
    path.write_text("x")
    watcher.watch(path, reloads.reload)
    await watcher.poll()
    assert reloads.count == 0
    change(path)
    await watcher.poll()
    await watcher.poll()
    assert reloads.count == 1


async def test_a_swapped_volume_is_seen_in_its_files_and_as_a_folder(tmp_path: Path) -> None:
    volume, file, folder, watcher = MountedVolume(tmp_path / "volume"), Reloads(), Reloads(), Watcher()
    volume.write(quota="1")
    watcher.watch(volume / "quota", file.reload)
    watcher.watch(volume.directory, folder.reload)
    volume.write(quota="1")
    await watcher.poll()
    assert (file.count, folder.count) == (1, 1)


async def test_a_plain_folder_is_seen_when_a_file_comes_goes_or_changes(tmp_path: Path) -> None:
    folder, reloads, watcher = tmp_path / "keys", Reloads(), Watcher()
    watcher.watch(folder, reloads.reload)
    folder.mkdir()
    await watcher.poll()
    (folder / "demo").write_text("1")
    await watcher.poll()
    (folder / "demo").write_text("12")
    await watcher.poll()
    (folder / "demo").unlink()
    await watcher.poll()
    assert reloads.count == 4


async def test_a_file_that_goes_leaves_what_it_said(tmp_path: Path) -> None:
    path, reloads, watcher = tmp_path / "quota.json", Reloads(), Watcher()
    path.write_text("x")
    watcher.watch(path, reloads.reload)
    path.unlink()
    await watcher.poll()
    assert reloads.count == 0
    assert signature(path) is None


@pytest.mark.parametrize("failure", [FailedForNow("no descriptor is free"), OSError(24, "EMFILE"), RuntimeError()])
async def test_a_failure_that_may_pass_is_tried_again_without_a_change(tmp_path: Path, failure: Exception) -> None:
    """After 1, 2, 4, ... at most 60 seconds, by the watcher's clock."""
    path, now, attempts = tmp_path / "quota.json", [1000.0], list[float]()
    watcher = Watcher(lambda: now[0])

    async def reload() -> None:
        attempts.append(now[0])
        if len(attempts) < 10:
            raise failure

    watcher.watch(path, reload)
    path.write_text("x")
    for _ in range(600):
        await watcher.poll()
        now[0] += 1
    waits = [later - earlier for earlier, later in itertools.pairwise(attempts)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_a_file_that_is_invalid_is_not_read_again_before_it_changes(tmp_path: Path) -> None:
    path, now, attempts = tmp_path / "quota.json", [1000.0], list[float]()
    watcher = Watcher(lambda: now[0])
    failures = [FailedForNow("busy"), BrokenFile("invalid")]

    async def reload() -> None:
        attempts.append(now[0])
        raise failures[min(len(attempts), 2) - 1]

    watcher.watch(path, reload)
    path.write_text("x")
    for _ in range(300):
        await watcher.poll()
        now[0] += 1
    assert attempts == [1000, 1001]
    path.write_text("xy")
    await watcher.poll()
    assert len(attempts) == 3


async def test_a_quota_that_no_descriptor_was_free_to_read_is_taken_later(tmp_path: Path) -> None:
    path = tmp_path / "quota.json"
    path.write_text('{"requestsPerMinute": 5}')
    sources = Sources(config(tmp_path), QuotaConfig(requests_per_minute=5), quota_file=path)
    application = Application(sources, lambda _: ToneClient())
    await application.start()
    try:
        loads, admission = application.server.metrics.config_loads, application.server.admission
        path.write_text('{"requestsPerMinute": 777}')
        with no_free_descriptor():
            await until(lambda: loads.labels("quota", "refused")._value.get() == 1)
            assert application.server.admission is admission
        await until(lambda: loads.labels("quota", "taken")._value.get() == 1)
        assert application.server.admission.config.requests_per_minute == 777
    finally:
        await application.stop()


async def test_a_change_between_the_reading_and_the_start_is_taken(tmp_path: Path) -> None:
    """A pod that starts while its ConfigMap changes would serve the former configuration until the next change."""
    quota = tmp_path / "quota.json"
    quota.write_text('{"requestsPerMinute": 5}')
    seen = {quota: signature(quota)}
    read = read_model(quota, QuotaConfig)
    by_rename(quota)
    quota.write_text('{"requestsPerMinute": 777}')
    application = Application(Sources(config(tmp_path), read, quota_file=quota, seen=seen), lambda _: ToneClient())
    await application.start()
    try:
        await application.watcher.poll()
        assert application.server.admission.config.requests_per_minute == 777
    finally:
        await application.stop()


async def test_counts_of_loads_begin_at_zero_so_that_an_alert_sees_the_first(tmp_path: Path) -> None:
    file, quota = tmp_path / "server.json", tmp_path / "quota.json"
    quota.write_text("{}")
    file.write_text(config(tmp_path).model_dump_json(by_alias=True, exclude_none=True))
    application = Application(
        Sources(config(tmp_path), QuotaConfig(), config_file=file, quota_file=quota), lambda _: ToneClient()
    )
    await application.start()
    try:
        shown = generate_latest(application.server.metrics.registry).decode()
        for name in ("server", "quota"):
            assert f'tts_config_loads_total{{file="{name}",outcome="refused"}} 0.0' in shown
    finally:
        await application.stop()


@pytest.mark.parametrize(("role", "value"), [("Entry", 1), ("Member", 0)])
async def test_a_metric_tells_whether_clients_call_the_server(
    tmp_path: Path, role: Literal["Entry", "Member"], value: int
) -> None:
    """Alerts count only what clients were answered."""
    application = Application(Sources(config(tmp_path, role=role), QuotaConfig()), lambda _: ToneClient())
    await application.start()
    try:
        assert application.server.metrics.entry_pool._value.get() == value
    finally:
        await application.stop()


async def test_a_surprise_while_taking_ends_nothing(tmp_path: Path) -> None:
    path, watcher = tmp_path / "quota.json", Watcher()

    async def reload() -> None:
        raise RuntimeError("surprise")

    watcher.watch(path, reload)
    path.write_text("x")
    await watcher.poll()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"requestsPerMinute": 0}',
        '{"requestsPerMinute": "many"}',
        '{"perMinute": 1}',
        "[" * 99_999,
    ],
)
def test_a_broken_file_says_why_and_quotes_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "quota.json"
    path.write_text(content)
    with pytest.raises(BrokenFile) as refused:
        read_model(path, QuotaConfig)
    assert "quota.json" in str(refused.value)
    assert "many" not in str(refused.value)


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_yaml_is_read_as_well_as_json(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"quota{suffix}"
    path.write_text('{"requestsPerMinute": 7}' if suffix == ".json" else "requestsPerMinute: 7")
    assert read_model(path, QuotaConfig).requests_per_minute == 7


@pytest.mark.parametrize("content", [b"\xff", b"a: [", b"!!python/object/apply:os.getcwd []"])
def test_broken_yaml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "server.yaml"
    path.write_bytes(content)
    with pytest.raises(BrokenFile):
        read_model(path, ServerConfig)


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[Mutable]:
    """A server whose files are mounted volumes; `application.watcher.poll()` is what time does."""
    server, quota, keys = (MountedVolume(tmp_path / name) for name in ("server", "quota", "keys"))
    first = config(tmp_path, auth=AuthConfig(modes=(AuthMode.NONE,), keys_directory=keys.directory))
    server.write(**{"server.json": first.model_dump_json(by_alias=True)})
    quota.write(**{"quota.json": '{"requestsPerMinute": 2}'})
    keys.write()
    engine_clients: dict[str, ToneClient] = {}
    application = Application(
        Sources(first, QuotaConfig(requests_per_minute=2), server / "server.json", quota / "quota.json"),
        lambda model: engine_clients.setdefault(model.name, ToneClient()),
    )
    await application.start()
    transport = httpx.ASGITransport(application.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://acme.test") as client:
        yield Mutable(application, client, engine_clients, volumes={"server": server, "quota": quota, "keys": keys})
    await application.stop()


def change(app: Mutable, tmp_path: Path, **changes: Any) -> None:
    """Write a new server.json."""
    changed = config(tmp_path, **changes).model_dump_json(by_alias=True)
    app.volumes["server"].write(**{"server.json": changed})


async def test_a_new_quota_holds_at_once_and_forgets_no_request(acme: Mutable) -> None:
    statuses = [(await acme.speech()).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    acme.volumes["quota"].write(**{"quota.json": '{"requestsPerMinute": 3, "maxTextCharacters": 6}'})
    await acme.application.watcher.poll()
    assert (await acme.speech()).status_code == 200
    assert (await acme.speech()).status_code == 429
    assert (await acme.speech(input="Seven..")).status_code == 400


async def test_a_broken_quota_is_kept_out(acme: Mutable) -> None:
    acme.volumes["quota"].write(**{"quota.json": '{"requestsPerMinute": -1}'})
    await acme.application.watcher.poll()
    assert (await acme.speech()).headers["x-ratelimit-limit-requests"] == "2"


async def test_new_aliases_and_voices_speak_without_a_restart(acme: Mutable, tmp_path: Path) -> None:
    assert (await acme.speech(voice="nova")).status_code == 400
    change(acme, tmp_path, voice_aliases={"nova": "bob"})
    await acme.application.watcher.poll()
    assert (await acme.speech(voice="nova")).status_code == 200
    assert (await acme.speech(voice="alloy")).status_code == 400
    assert acme.application.server.snapshot is not None
    assert acme.application.server.snapshot.engine_clients["tone"] is acme.engine_clients["tone"], "the engine runs on"


@pytest.mark.parametrize(
    "broken",
    [{"voice_aliases": {"nova": "nobody"}}, {"model_aliases": {"tts-1": "none"}}, {"language_routing": ()}],
)
async def test_a_configuration_that_leads_nowhere_is_kept_out(
    acme: Mutable, tmp_path: Path, broken: dict[str, Any]
) -> None:
    if broken == {"language_routing": ()}:
        acme.volumes["server"].write(**{"server.json": "{"})
    else:
        change(acme, tmp_path, **broken)
    await acme.application.watcher.poll()
    assert (await acme.speech(voice="alloy")).status_code == 200


async def test_a_new_model_is_started_and_an_old_one_stopped(acme: Mutable, tmp_path: Path) -> None:
    told = json.loads(config(tmp_path).model_dump_json(by_alias=True))
    told["models"] = [{"name": "tone2", "languages": ["en"], "voices": [{"name": "ann"}]}, told["models"][1]]
    told["modelAliases"] = {"tts-1": "tone2"}
    told["languageRouting"] = [{"language": "default", "voice": "ann"}]
    acme.volumes["server"].write(**{"server.json": json.dumps(told)})
    await acme.application.watcher.poll()
    assert (await acme.speech()).headers["x-tts-engine"] == "tone2"
    assert acme.engine_clients["tone2"].ready
    assert not acme.engine_clients["tone"].ready
    assert acme.engine_clients["bass"].ready


async def test_an_engine_speaks_to_its_end_however_often_the_configuration_changes(
    acme: Mutable, tmp_path: Path
) -> None:
    tone = acme.engine_clients["tone"]
    tone.gate.clear()
    begun = asyncio.create_task(acme.speech())
    await until(lambda: tone.spoken)
    change(acme, tmp_path, voice_aliases={"alloy": "bob"})
    await acme.application.watcher.poll()
    bass_only = {
        "models": config(tmp_path).models[1:],
        "model_aliases": {},
        "voice_aliases": {},
        "language_routing": (),
    }
    change(acme, tmp_path, **bass_only)
    await acme.application.watcher.poll()
    assert (await acme.speech(model="tone")).status_code == 404
    assert tone.ready
    tone.gate.set()
    assert (await begun).status_code == 200
    await until(lambda: not tone.ready)


async def test_a_new_key_is_good_at_once_and_a_removed_one_no_more(acme: Mutable, tmp_path: Path) -> None:
    auth = AuthConfig(modes=(AuthMode.API_KEY,), keys_directory=acme.volumes["keys"].directory)
    change(acme, tmp_path, auth=auth)
    await acme.application.watcher.poll()
    headers = {"Authorization": f"Bearer {KEY}"}
    assert (await acme.client.get("/v1/models", headers=headers)).status_code == 401
    acme.volumes["keys"].write(demo=hashlib.sha256(KEY.encode()).hexdigest())
    await acme.application.watcher.poll()
    assert (await acme.client.get("/v1/models", headers=headers)).status_code == 200
    acme.volumes["keys"].write()
    await acme.application.watcher.poll()
    assert (await acme.client.get("/v1/models", headers=headers)).status_code == 401


async def test_a_removed_key_is_none_also_while_an_engine_takes_long_to_load(acme: Mutable, tmp_path: Path) -> None:
    auth = AuthConfig(modes=(AuthMode.API_KEY,), keys_directory=acme.volumes["keys"].directory)
    acme.volumes["keys"].write(demo=hashlib.sha256(KEY.encode()).hexdigest())
    change(acme, tmp_path, auth=auth)
    await acme.application.watcher.poll()
    headers = {"Authorization": f"Bearer {KEY}"}
    assert (await acme.client.get("/v1/models", headers=headers)).status_code == 200
    slow = acme.engine_clients["slow"] = Heavy()
    models = (*config(tmp_path).models, ModelConfig(name="slow", voices=(VoiceConfig(name="sam"),)))
    change(acme, tmp_path, auth=auth, models=models)
    await until(lambda: slow.loading)  # the watcher itself has seen it
    acme.volumes["keys"].write()
    await until(lambda: not acme.application.server.keyring.digests)
    assert (await acme.client.get("/v1/models", headers=headers)).status_code == 401
    slow.loaded.set()
    await until(lambda: slow.ready)


class Heavy(ToneClient):
    """Loads until somebody says that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.loading = False
        self.loaded = asyncio.Event()

    async def start(self) -> None:
        self.loading = True
        await self.loaded.wait()
        await super().start()
