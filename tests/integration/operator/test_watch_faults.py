"""Watches that end or hang in any way are noticed within 10 s and start anew, on a control plane of this file's own."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from hack.cluster.control_plane import ControlPlane, Options
from tests.support.api_http import http_client
from tests.support.api_server import NUMBERS, eventually
from tests.support.control_planes import apply, install_crds, prepare, start_again
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.operator_process import GROUP, Operator
from tests.support.resources import model_body, tenant_body
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import KINDS

NOTICED_SECONDS = 10.0
RESTARTED_SECONDS = 30.0
"""Time until a new session watches that lost its kind or its storage. No resync comes this early."""
FRESH_SECONDS = 9.0
"""Age of the oldest watch that is thought to work."""
AGE = "tts_operator_watch_age_seconds"
PLURALS = (
    "ttstenants",
    "ttsmodels",
    "ttscalendars",
    "namespaces",
    *(kind.plural for kind in KINDS if kind.child and kind.watched and kind.add_on is None),
    "pods",
)
BUSY_SECONDS = 5.0
"""For a machine that does other things."""
BACK_SECONDS = NOTICED_SECONDS + BUSY_SECONDS
LONG_RETRY_AFTER_SECONDS = 32
"""The longest that an API server with priority and fairness asks for."""
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Start one whose CRDs and storage may be taken away."""
    plane = ControlPlane.start(tmp_path_factory.mktemp("own-control-plane"), Options(die_with_parent=True))
    prepare(plane)
    yield plane
    plane.stop()


@dataclass
class Proxied:
    """An operator behind a proxy that many tests disturb, one after the other: each has to get over it anyway."""

    plane: ControlPlane
    folder: Path
    proxy: FaultProxy
    stack: AsyncExitStack
    running: Operator | None = None

    async def ready_operator(self) -> Operator:
        """The one that runs if the last test has left it in order, otherwise a new one."""
        if self.running is None or not (await ready(self.running) and await leads(self.running)):
            await self.stack.aclose()
            self.running = await self.stack.enter_async_context(operator(self.plane, self.folder, self.proxy))
        return self.running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxied]:
    async with fault_proxy(plane, "proxied", GROUP) as proxy, AsyncExitStack() as stack:
        yield Proxied(plane, tmp_path_factory.mktemp("shared"), proxy, stack)


@pytest_asyncio.fixture(loop_scope="module")
async def proxied(shared: Proxied) -> AsyncIterator[Proxied]:
    """The proxy disturbs nothing before and after a test."""
    yield shared
    shared.proxy.refusals.clear()
    shared.proxy.refused_plurals.clear()
    shared.proxy.retry_after_seconds = None
    shared.proxy.frozen, shared.proxy.frozen_plurals = False, frozenset()


@asynccontextmanager
async def operator(
    plane: ControlPlane, folder: Path, proxy: FaultProxy | None = None, *flags: str
) -> AsyncIterator[Operator]:
    """One that is ready, in a namespace of its own."""
    namespace = f"watching-{next(NUMBERS)}"
    await asyncio.to_thread(plane.kubectl, "create", "namespace", namespace)
    kubeconfig = proxy.kubeconfig(folder / "proxy.kubeconfig") if proxy else None
    flags = ("--lease-seconds=4", "--resync-seconds=3600", *flags)
    started = Operator.start(plane, folder, namespace, namespace, flags, kubeconfig=kubeconfig)
    try:
        await eventually(lambda: ready(started), "it is ready and leads")
        await eventually(lambda: leads(started), "it leads")
        yield started
    finally:
        started.end()


@pytest_asyncio.fixture
async def proxy(plane: ControlPlane) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(plane, "proxied", GROUP) as proxy:
        yield proxy


async def ready(operator: Operator) -> bool:
    return await asyncio.to_thread(operator.ready)


async def leads(operator: Operator) -> bool:
    return await asyncio.to_thread(operator.leads)


async def unready(operator: Operator) -> bool:
    return await asyncio.to_thread(operator.probe, "readyz") == 503


async def gets_children(plane: ControlPlane, within_seconds: float) -> None:
    """Apply a new tenant, and wait for its ConfigMap."""
    name, namespace = f"espeak-{next(NUMBERS)}", f"team-{next(NUMBERS)}"
    await asyncio.to_thread(plane.kubectl, "create", "namespace", namespace)
    await asyncio.to_thread(apply, plane, model_body(name), tenant_body(name, key=Key(namespace, "acme")))
    await eventually(lambda: has_quota(plane, namespace), "a new tenant gets its children", within_seconds)


async def has_quota(plane: ControlPlane, namespace: str) -> bool:
    found = await asyncio.to_thread(plane.kubectl, "get", "cm", "acme-quota", "-n", namespace, "--ignore-not-found")
    return bool(found)


async def test_a_label_of_a_namespace_takes_effect_at_once(plane: ControlPlane, tmp_path: Path) -> None:
    """The periodic list comes after an hour."""
    namespace, name = f"team-{next(NUMBERS)}", f"espeak-{next(NUMBERS)}"
    await asyncio.to_thread(plane.kubectl, "create", "namespace", namespace)
    tenant = tenant_body(name, key=Key(namespace, "acme"), schedule={"default": {"minReplicas": 2, "maxReplicas": 4}})

    async def most() -> str:
        output = ("-o", "jsonpath={.spec.maxReplicas}", "--ignore-not-found")
        return str(await asyncio.to_thread(plane.kubectl, "get", "hpa", f"acme-{name}", "-n", namespace, *output))

    async with operator(plane, tmp_path):
        await asyncio.to_thread(apply, plane, model_body(name), tenant)
        await eventually(lambda: is_equal(most, "4"), "the tenant has its children")
        await asyncio.to_thread(plane.kubectl, "label", "namespace", namespace, "ttsfleet.io/max-replicas=3")
        await eventually(lambda: is_equal(most, "3"), "the ceiling holds", 20)


async def is_equal(found: Callable[[], Awaitable[str]], wanted: str) -> bool:
    return await found() == wanted


REFUSALS = [
    *(("ttstenants", status) for status in (400, 401, 403, 404, 410, 429, 500, 503)),
    *(("pods", status) for status in (401, 429)),
    *(("services", status) for status in (404, 500)),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("plural", "status"), REFUSALS)
async def test_a_watch_that_is_refused_once(proxied: Proxied, plural: str, status: int) -> None:
    """The refusal of one watch may end all of kopf, and kopf may not get as far as its end."""
    running, proxy = await proxied.ready_operator(), proxied.proxy
    proxy.refusals[plural] = [status]
    await eventually(lambda: refused(proxy, plural), "the watch was refused", NOTICED_SECONDS)
    await gets_children(proxied.plane, BACK_SECONDS)
    await eventually(lambda: ready(running), "it is ready again", BACK_SECONDS)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("plural", "status"), [("ttstenants", 429), ("ttstenants", 500), ("pods", 503)])
async def test_watches_that_are_refused_until_it_is_blind(proxied: Proxied, plural: str, status: int) -> None:
    """It is not ready while it sees nothing, and does not wait for as long as a 429 asks it to."""
    running, proxy = await proxied.ready_operator(), proxied.proxy
    proxy.refused_plurals[plural] = status
    proxy.retry_after_seconds = LONG_RETRY_AFTER_SECONDS
    await eventually(lambda: unready(running), "readiness tells", NOTICED_SECONDS + BUSY_SECONDS)
    await eventually(lambda: is_old(running, plural), "the metric tells, too", BUSY_SECONDS)
    del proxy.refused_plurals[plural]
    await eventually(lambda: ready(running), "it is ready again", BACK_SECONDS)
    await eventually(lambda: is_fresh(running), "every watch works", BUSY_SECONDS)
    await gets_children(proxied.plane, BUSY_SECONDS)


async def refused(proxy: FaultProxy, plural: str) -> bool:
    return not proxy.refusals[plural]


@pytest.mark.asyncio(loop_scope="module")
async def test_watches_that_deliver_nothing_with_their_connections_open(proxied: Proxied) -> None:
    running, proxy = await proxied.ready_operator(), proxied.proxy
    proxy.frozen = True
    frozen_at = time.monotonic()
    await eventually(lambda: unready(running), "readiness tells", NOTICED_SECONDS + BUSY_SECONDS)
    assert time.monotonic() - frozen_at < NOTICED_SECONDS + BUSY_SECONDS
    for plural in PLURALS:
        await eventually(lambda plural=plural: is_old(running, plural), f"so does the metric of {plural}")  # type: ignore[misc]
    proxy.frozen = False
    await gets_children(proxied.plane, RESTARTED_SECONDS)
    await eventually(lambda: ready(running), "it is ready again", RESTARTED_SECONDS)
    assert running.probe("healthz") == 200


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("plural", ["ttstenants", "deployments", "pods", "namespaces"])
async def test_one_watch_that_delivers_nothing_with_its_connection_open(proxied: Proxied, plural: str) -> None:
    """The others go on, and the metric says which one does not."""
    running, proxy = await proxied.ready_operator(), proxied.proxy
    proxy.frozen_plurals = frozenset({plural})
    await eventually(lambda: unready(running), "readiness tells", NOTICED_SECONDS + BUSY_SECONDS)
    await eventually(lambda: is_old(running, plural), "the metric tells, too")
    proxy.frozen_plurals = frozenset()
    await eventually(lambda: ready(running), "it is ready again", NOTICED_SECONDS + BUSY_SECONDS)
    await eventually(lambda: is_fresh(running), "every watch works", BUSY_SECONDS)
    await gets_children(proxied.plane, RESTARTED_SECONDS)


async def is_old(operator: Operator, plural: str) -> bool:
    return await asyncio.to_thread(operator.metric, AGE, kind=plural) > FRESH_SECONDS


async def is_fresh(operator: Operator) -> bool:
    """Whether every watch works."""
    return max([await asyncio.to_thread(operator.metric, AGE, kind=plural) for plural in PLURALS]) < FRESH_SECONDS


async def test_a_token_that_is_rotated(plane: ControlPlane, proxy: FaultProxy, tmp_path: Path) -> None:
    """The former token is rejected at once, by a request and by all watches."""
    proxy.token = "first"
    async with operator(plane, tmp_path, proxy) as running:
        await gets_children(plane, RESTARTED_SECONDS)
        proxy.token = "second"
        await eventually(lambda: unready(running), "readiness tells", NOTICED_SECONDS + BUSY_SECONDS)
        proxy.kubeconfig(tmp_path / "proxy.kubeconfig")
        await eventually(lambda: ready(running), "it is ready again", NOTICED_SECONDS + BUSY_SECONDS)
        await gets_children(plane, RESTARTED_SECONDS)
        await eventually(lambda: is_fresh(running), "every watch works", BUSY_SECONDS)


async def test_an_api_server_that_is_restarted(plane: ControlPlane, tmp_path: Path) -> None:
    async with operator(plane, tmp_path) as running:
        await gets_children(plane, RESTARTED_SECONDS)
        await asyncio.to_thread(plane.processes.stop, "kube-apiserver", patience_seconds=5)
        await eventually(lambda: unready(running), "readiness tells", NOTICED_SECONDS + BUSY_SECONDS)
        await start_again(plane)
        await eventually(lambda: ready(running), "it is ready again", NOTICED_SECONDS + BUSY_SECONDS)
        await gets_children(plane, RESTARTED_SECONDS)
        await eventually(lambda: is_fresh(running), "every watch works", BUSY_SECONDS)


async def test_a_crd_that_is_deleted_and_applied_again(plane: ControlPlane, tmp_path: Path) -> None:
    async with operator(plane, tmp_path) as running:
        await gets_children(plane, RESTARTED_SECONDS)
        await asyncio.to_thread(plane.kubectl, "delete", "crd", "ttsmodels.ttsfleet.io")
        await eventually(lambda: unready(running), "readiness tells", NOTICED_SECONDS + BUSY_SECONDS)
        await asyncio.to_thread(install_crds, plane)
        await gets_children(plane, RESTARTED_SECONDS)
        await eventually(lambda: ready(running), "it is ready again", RESTARTED_SECONDS)
        assert running.metric("tts_operator_watch_restarts_total") >= 1


async def test_storage_that_is_restored_from_an_older_copy(plane: ControlPlane, tmp_path: Path) -> None:
    """Watches that go on from the versions that they know would wait until the storage has got there again."""
    copy = tmp_path / "etcd"
    async with operator(plane, tmp_path) as running:
        await asyncio.to_thread(stop_storage, plane)
        await asyncio.to_thread(shutil.copytree, plane.folder / "etcd", copy)
        await start_again(plane)
        await eventually(lambda: leads(running), "it leads again")
        for _ in range(3):  # revisions that the older copy does not have
            await asyncio.to_thread(annotate, plane, times=100)
            await gets_children(plane, RESTARTED_SECONDS)
        before = revision(plane)
        await asyncio.to_thread(stop_storage, plane)
        await asyncio.to_thread(shutil.rmtree, plane.folder / "etcd")
        await asyncio.to_thread(shutil.copytree, copy, plane.folder / "etcd")
        await start_again(plane)
        await gets_children(plane, RESTARTED_SECONDS + 30)
        assert revision(plane) < before, "the storage has not caught up: the watches were started anew"
        await eventually(lambda: ready(running), "it is ready again", RESTARTED_SECONDS)


def annotate(plane: ControlPlane, times: int) -> None:
    """Give a namespace so many revisions."""
    patch = {"Content-Type": "application/merge-patch+json"}
    with http_client(plane, "annotator") as client:
        for number in range(times):
            body = {"metadata": {"annotations": {"turn": str(number)}}}
            client.patch("/api/v1/namespaces/default", json=body, headers=patch).raise_for_status()


def stop_storage(plane: ControlPlane) -> None:
    plane.processes.stop("kube-apiserver", patience_seconds=5)
    plane.processes.stop("etcd", patience_seconds=5)


def revision(plane: ControlPlane) -> int:
    listed = plane.kubectl("get", "--raw", "/apis/ttsfleet.io/v1alpha1/ttsmodels?limit=1")
    return int(json.loads(listed)["metadata"]["resourceVersion"])
