"""Tenants of a shared pool, from TTSTenants to the files that its server reads."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.support.operator_builders import NOON, SETTINGS, observe
from tts_operator.credentials.api_keys import key_digests
from tts_operator.desired.tenant_shards import tenant_shards
from tts_operator.objects.keys import Key
from tts_operator.pod_files.shared_tenant import shared_tenant
from tts_operator.resolve.resolve import resolve
from tts_server.config.shared_tenants import SHARDS, SharedTenant, read_shard, shard_file, shard_of

POOL = Key("ttsfleet-system", "shared-espeak")
DIGEST = hashlib.sha256(b"tts_a-key").hexdigest()


def entry(**spec: Any) -> SharedTenant:
    observed = observe("espeak", **spec)
    assert observed.tenant is not None
    return shared_tenant(resolve(observed, SETTINGS, NOON), observed.tenant, {"app": DIGEST})


def read(folder: Path, *tenants: Key) -> dict[str, SharedTenant]:
    """Write the ConfigMaps with these tenants, and read them as a server does."""
    found: dict[str, SharedTenant] = {}
    for manifest in tenant_shards(POOL, "espeak", {key: entry() for key in tenants}):
        for name, text in manifest.body["data"].items():
            (folder / name).write_text(text)
            shard = read_shard(folder / name)
            assert shard is not None
            assert shard.broken == {}
            found |= shard.tenants
    return found


@pytest.mark.parametrize(("tier", "weight"), [("Basic", 10), ("VIP", 100), ("Enterprise", 1000)])
def test_a_tenants_weight_follows_its_tier(tier: str, weight: float) -> None:
    assert entry(tier=tier).weight == weight


def test_an_entry_has_what_the_tenants_own_files_would_have() -> None:
    made = entry(
        quota={"requestsPerMinute": 7, "charactersPerDay": 1000},
        voiceAliases={"alloy": "en-us", "lost": "nobody"},
        languageRouting=[{"language": "default", "voice": "en-us"}],
        auth={"modes": ["APIKey", "JWT"]},
        cache={"ttlSeconds": 60},
    )
    assert (made.quota.requests_per_minute, made.quota.characters_per_day) == (7, 1000)
    assert made.keys == {"app": DIGEST}
    assert [mode.value for mode in made.auth_modes] == ["APIKey", "JWT"]
    assert (made.cache.enabled, made.cache.ttl_seconds) == (True, 60)
    assert "lost" not in made.voice_aliases


def test_the_server_reads_every_tenant_from_its_own_file(tmp_path: Path) -> None:
    keys = [Key(f"team-{number}", "acme") for number in range(100)]
    found = read(tmp_path, *keys)
    assert found.keys() == {f"{key.namespace}.{key.name}" for key in keys}
    assert all(each == entry() for each in found.values())
    for number in range(SHARDS):
        shard = read_shard(tmp_path / shard_file(number))
        assert shard is not None
        assert {shard_of(name) for name in shard.tenants} <= {number}


def test_a_file_without_tenants_is_written_too(tmp_path: Path) -> None:
    assert read(tmp_path) == {}
    assert len(list(tmp_path.iterdir())) == SHARDS


def test_the_order_of_tenants_changes_nothing() -> None:
    keys = [Key(f"team-{number}", "acme") for number in range(40)]

    def texts(order: list[Key]) -> list[Any]:
        return [manifest.body for manifest in tenant_shards(POOL, "espeak", {key: entry() for key in order})]

    assert texts(keys) == texts(keys[::-1])


def test_no_key_is_in_a_file_not_even_one_that_was_written_for_its_name() -> None:
    plain = "tts_Zk3vQ8xW2mN7pL5rT9yB4cD6fG1hJ0aS"
    data = {"app": DIGEST.encode(), plain: DIGEST.encode(), "plain": b"tts_a-key", ".hidden": DIGEST.encode()}
    digests = key_digests(data)
    assert set(digests.values()) == {DIGEST}
    assert len(digests) == 2
    assert plain not in str(digests)
