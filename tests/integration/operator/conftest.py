"""A namespace per test on the run's API server, with both CRDs installed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from hack.cluster.control_plane import ControlPlane
from tests.integration.operator.world import NUMBERS, Person, World
from tts_operator.api.crd import definitions
from tts_operator.cluster import Cluster, Write


@pytest.fixture(scope="session")
def kubeconfig(control_plane: ControlPlane) -> Path:
    """Of an administrator, on an API server that knows both resources."""
    crds = yaml.safe_dump_all(definitions())
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=crds)
    for plural in ("ttsmodels", "ttstenants"):
        control_plane.kubectl("wait", f"crd/{plural}.ttsfleet.io", "--for=condition=Established", "--timeout=60s")
    return control_plane.kubeconfig


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
