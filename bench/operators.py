"""Control plane for one measurement, without nodes, with both CRDs."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

from hack.cluster.control_plane import ControlPlane, Options
from tests.support.api_server import KubernetesUser
from tests.support.control_planes import install_crds
from tts_operator.cluster.client import Cluster

T = TypeVar("T")
WRITERS = 16


@contextmanager
def control_plane(
    *, audit_reads: bool = False, extra: Mapping[str, tuple[str, ...]] | None = None
) -> Iterator[ControlPlane]:
    """Start a control plane, which ends with the block or with this process. `extra`: flags by program."""
    options = Options(audit=True, audit_reads=audit_reads, die_with_parent=True, extra=extra or {})
    with tempfile.TemporaryDirectory(prefix="ttsfleet-bench-") as folder:
        plane = ControlPlane.start(Path(folder) / "control-plane", options)
        try:
            install_crds(plane)
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


async def each(items: Iterable[T], write: Callable[[T], Awaitable[object]]) -> None:
    """Make one write for each, a few at a time."""
    remaining = iter(items)

    async def work() -> None:
        for item in remaining:
            await write(item)

    await asyncio.gather(*(work() for _ in range(WRITERS)))
