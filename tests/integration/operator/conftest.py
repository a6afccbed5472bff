"""A namespace per test on the run's API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.api_server import NUMBERS, ApiServer, KubernetesUser
from tts_operator.cluster.client import Cluster, Write


@pytest_asyncio.fixture
async def api(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    writes: list[Write] = []
    namespace = f"team-{next(NUMBERS)}"
    async with (
        await Cluster.connect(lambda: True, wrote=writes.append) as cluster,
        await Cluster.connect(lambda: True) as other,
    ):
        user = KubernetesUser(other)
        await user.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        yield ApiServer(namespace, cluster, user, kubeconfig, writes)
