"""A namespace per test on the run's API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.api_server import NUMBERS, ApiServer, KubernetesUser
from tests.support.object_watches import caught_up, watched
from tts_operator.cluster.client import Cluster, Write


@pytest_asyncio.fixture
async def api(
    request: pytest.FixtureRequest, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ApiServer]:
    """The parameter `cached` lets reconciles read copies, as a running operator does; by default they read live."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    writes: list[Write] = []
    namespace = f"team-{next(NUMBERS)}"
    async with (
        await Cluster.connect(lambda: True, wrote=writes.append) as cluster,
        await Cluster.connect(lambda: True) as other,
    ):
        user = KubernetesUser(other)
        await user.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        server = ApiServer(namespace, cluster, user, kubeconfig, writes)
        if getattr(request, "param", "live") != "cached":
            yield server
            return
        async with watched(server) as copies:
            yield replace(server, reader=copies.reader, caught_up=lambda key: caught_up(server, copies, key))
