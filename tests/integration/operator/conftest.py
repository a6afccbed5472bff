"""A namespace per test on the run's API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.operator_world import NUMBERS, Person, World
from tts_operator.cluster.client import Cluster, Write


@pytest_asyncio.fixture
async def world(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    writes: list[Write] = []
    namespace = f"team-{next(NUMBERS)}"
    async with (
        await Cluster.connect(lambda: True, wrote=writes.append) as cluster,
        await Cluster.connect(lambda: True) as other,
    ):
        person = Person(other)
        await person.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        yield World(namespace, cluster, person, kubeconfig, writes)
