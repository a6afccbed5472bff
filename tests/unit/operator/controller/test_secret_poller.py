"""Whoever reads the versions of Secrets in turn: every change is told once, soon, and at no great cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Unreachable
from tts_operator.controller.secret_poller import MIN_PAUSE_SECONDS, POLL_INTERVAL_SECONDS, SecretPoller
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body, Ref
from tts_operator.snapshot.observed import Observed

ACME, BETA = Key("team", "acme"), Key("team", "beta")


@dataclass
class Stage:
    """An API server that has Secrets, and who was told that theirs is another one."""

    versions: dict[str, str] = field(default_factory=dict)
    away: bool = False
    requeue: int = 0
    told: list[Key] = field(default_factory=list)

    async def get(self, ref: Ref, *, metadata_only: bool) -> Body | None:
        assert metadata_only, "what is in a Secret is nobody's business here"
        self.requeue += 1
        await asyncio.sleep(0.001)
        if self.away:
            raise Unreachable("nobody answers")
        version = self.versions.get(ref.name)
        return {"metadata": {"resourceVersion": version}} if version else None


def saw(key: Key, *, gone: bool = False, **versions: str) -> Observed:
    """A reading of a tenant and of these Secrets, by the last part of their names."""
    body: Any = None if gone else {"metadata": {"uid": "1"}}
    found = {Ref("v1", "Secret", key.namespace, f"{key.name}-{name}"): version for name, version in versions.items()}
    return Observed(key=key, body=body, tenant=None, secret_versions=found)


@asynccontextmanager
async def looking(stage: Stage) -> AsyncIterator[SecretPoller]:
    secrets = SecretPoller()
    task = asyncio.create_task(secrets.run(cast("Cluster", stage), stage.told.append))
    yield secrets
    assert not task.done(), task
    task.cancel()
    await asyncio.wait({task})


async def test_a_change_is_told_within_seconds_and_once() -> None:
    stage = Stage({"acme-keys": "1", "beta-keys": "1"})
    async with looking(stage) as secrets:
        for key in (ACME, BETA):
            secrets.record(saw(key, keys="1"))
        await asyncio.sleep(3 * POLL_INTERVAL_SECONDS)
        assert stage.told == []
        stage.versions["acme-keys"] = "2"
        await asyncio.sleep(2 * POLL_INTERVAL_SECONDS)
        assert stage.told == [ACME]
        del stage.versions["beta-keys"]
        await asyncio.sleep(5 * POLL_INTERVAL_SECONDS)
        assert stage.told == [ACME, BETA]


async def test_a_deleted_secret_that_the_operator_made_is_told() -> None:
    """Deleting signing keys is how to throw them away at once: the next reconcile makes others."""
    stage = Stage({"acme-keys": "1", "acme-signing": "3"})
    async with looking(stage) as secrets:
        secrets.record(saw(ACME, keys="1", signing="3"))
        await asyncio.sleep(3 * POLL_INTERVAL_SECONDS)
        assert stage.told == []
        del stage.versions["acme-signing"]
        await asyncio.sleep(2 * POLL_INTERVAL_SECONDS)
        assert stage.told == [ACME]


async def test_what_a_reconcile_has_read_is_no_news() -> None:
    stage = Stage({"acme-keys": "1"})
    async with looking(stage) as secrets:
        secrets.record(saw(ACME, keys="1"))
        stage.versions["acme-keys"] = "2"
        secrets.record(saw(ACME, keys="2"))
        await asyncio.sleep(5 * POLL_INTERVAL_SECONDS)
        assert stage.told == []


async def test_an_api_server_that_is_away_is_no_change_and_hides_none() -> None:
    stage = Stage({"acme-keys": "1"}, away=True)
    async with looking(stage) as secrets:
        secrets.record(saw(ACME, keys="1"))
        await asyncio.sleep(5 * POLL_INTERVAL_SECONDS)
        assert stage.told == []
        stage.away, stage.versions["acme-keys"] = False, "2"
        await asyncio.sleep(2 * POLL_INTERVAL_SECONDS)
        assert stage.told == [ACME]


async def test_tenants_that_went_and_secrets_that_are_not_there_are_left_alone() -> None:
    stage = Stage({"acme-keys": "2", "beta-keys": "2"})
    async with looking(stage) as secrets:
        for key in (ACME, BETA):
            secrets.record(saw(key, keys="1"))
        secrets.record(saw(ACME, keys="1", gone=True))
        secrets.record(saw(BETA))
        await asyncio.sleep(5 * POLL_INTERVAL_SECONDS)
        assert (stage.told, stage.requeue) == ([], 0)


async def test_a_thousand_tenants_are_gone_through_slowly() -> None:
    stage = Stage({f"tenant-{number}-keys": "1" for number in range(1000)})
    async with looking(stage) as secrets:
        for number in range(1000):
            secrets.record(saw(Key("team", f"tenant-{number}"), keys="1"))
        stage.versions["tenant-999-keys"] = "2"
        await asyncio.sleep(60)
        assert stage.told == [Key("team", "tenant-999")]
        assert stage.requeue <= 60 / MIN_PAUSE_SECONDS


async def test_a_secret_that_many_tenants_read_is_looked_at_once_and_all_are_told() -> None:
    """The Secret with the keys of a model's object store is read for every tenant of the model."""
    stage = Stage({"shared": "1"})
    store = Ref("v1", "Secret", "ttsfleet-system", "shared")
    tenants = [Key("team", f"tenant-{number}") for number in range(100)]
    async with looking(stage) as secrets:
        for key in tenants:
            secrets.record(
                Observed(key=key, body={"metadata": {"uid": "1"}}, tenant=None, secret_versions={store: "1"})
            )
        await asyncio.sleep(2 * POLL_INTERVAL_SECONDS)
        assert stage.requeue <= 3
        stage.versions["shared"] = "2"
        await asyncio.sleep(2 * POLL_INTERVAL_SECONDS)
        assert sorted(stage.told) == sorted(tenants)
