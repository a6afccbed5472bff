"""Control plane for one measurement, without nodes, with both CRDs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import yaml

from hack.cluster.control_plane import ControlPlane, Options
from tests.support.api_server import KubernetesUser
from tts_operator.api.crd import definitions
from tts_operator.cluster.client import Cluster


@contextmanager
def control_plane() -> Iterator[ControlPlane]:
    """Start a control plane, which ends with the block or with this process."""
    with tempfile.TemporaryDirectory(prefix="ttsfleet-bench-") as folder:
        plane = ControlPlane.start(Path(folder) / "control-plane", Options(audit=True, die_with_parent=True))
        try:
            plane.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(definitions()))
            for plural in ("ttsmodels", "ttstenants"):
                crd = f"crd/{plural}.ttsfleet.io"
                plane.kubectl("wait", crd, "--for=condition=Established", "--timeout=60s")
            os.environ["KUBECONFIG"] = str(plane.kubeconfig)  # the operator's client reads it
            yield plane
        finally:
            plane.stop()


@asynccontextmanager
async def administrator(*namespaces: str) -> AsyncIterator[KubernetesUser]:
    """Client with all permissions, after making these namespaces."""
    async with await Cluster.connect(lambda: True) as cluster:
        person = KubernetesUser(cluster)
        for namespace in namespaces:
            await person.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        yield person
