"""Measures one reconcile against a real API server on the same machine, without nodes: from reading everything to
writing the status, one tenant after the other, in this process. Writes are counted where the operator's client sends
them. `RECONCILE_TENANTS=100` chooses the number of tenants.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import structlog

from bench.figures import Figure, percentile
from bench.operators import administrator, control_plane
from tests.support.api_server import SETTINGS, SETTLED_SECONDS, ApiServer, KubernetesUser, eventually
from tests.support.object_watches import watched
from tests.support.resources import model_body, tenant_body
from tts_operator.clock import SystemClock
from tts_operator.cluster.client import Cluster, Write
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Ref
from tts_operator.objects.names import GROUP

TENANTS = int(os.environ.get("RECONCILE_TENANTS", "100"))
NAMESPACE = "team-bench"
SCHEDULE = {"default": {"minReplicas": 3, "maxReplicas": 6}}


async def measure() -> list[Figure]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with control_plane():
        return await _measure()


async def _measure() -> list[Figure]:
    keys = [Key(NAMESPACE, f"tenant-{number}") for number in range(TENANTS)]
    writes: list[Write] = []
    async with administrator(NAMESPACE) as person, await Cluster.connect(lambda: True, wrote=writes.append) as cluster:
        await person.create(model_body())
        for key in keys:
            await person.create(tenant_body("espeak", schedule=SCHEDULE, key=key))
        created = await _reconciled(cluster, keys)
        first = Counter(write.kind for write in writes)
        for _ in range(3):  # meanwhile the Deployments' status arrives, which changes the tenants' status
            await _reconciled(cluster, keys)
        until_converged = len(writes)
        idle = await _reconciled(cluster, keys)
        idle_writes = len(writes) - until_converged
        for key in keys:
            ref = Ref(f"{GROUP}/v1alpha1", "TTSTenant", key.namespace, key.name)
            await person.patch(ref, {"spec": {"quota": {"requestsPerMinute": 7}}})
        before = len(writes)
        changed = await _reconciled(cluster, keys)
        change_writes = len(writes) - before
        for _ in range(3):
            await _reconciled(cluster, keys)
        copied = await _from_copies(cluster, keys)
    kinds = ", ".join(f"{kind} {count / TENANTS:g}" for kind, count in sorted(first.items()))
    return [
        *_times("a new tenant", created),
        *_times("a converged tenant", idle),
        *_times("a changed quota", changed),
        *copied,
        Figure("API writes of a create, first reconcile", sum(first.values()) / TENANTS, "", kinds),
        Figure("API writes of a create, until converged", until_converged / TENANTS, ""),
        Figure("API writes of a converged tenant's reconcile", idle_writes / TENANTS, "", "must be 0"),
        Figure("API writes of a changed quota", change_writes / TENANTS, ""),
    ]


async def _from_copies(cluster: Cluster, keys: Sequence[Key]) -> list[Figure]:
    """CPU and requests of converged tenants whose objects are read from copies, as the running operator does."""
    async with watched(ApiServer(NAMESPACE, cluster, KubernetesUser(cluster), Path())) as copies:
        context = ReconcileContext(cluster, SETTINGS, SystemClock(), reader=copies.reader)
        await eventually(lambda: _have_converged(context, keys), "every tenant has converged", SETTLED_SECONDS, 1)
        figures = []
        for what, turns, full in (("in full", 5, True), ("unchanged", 20, False)):
            before, started = cluster.requests, time.process_time()
            for _ in range(turns):
                if full:
                    context.converged.clear()
                for key in keys:
                    await reconcile(key, context)
            each = (time.process_time() - started) / turns / len(keys)
            sent = (cluster.requests - before) / turns / len(keys)
            figures += [
                Figure(f"a converged tenant {what}, from copies, CPU", each * 1e3, "ms", f"{len(keys)} tenants"),
                Figure(f"a converged tenant {what}, from copies, requests", sent, ""),
            ]
    return figures


async def _have_converged(context: ReconcileContext, keys: Sequence[Key]) -> bool:
    """Reconcile each, and tell whether all are known to need no write: their Deployments' status arrives meanwhile."""
    for key in keys:
        await reconcile(key, context)
    now = context.clock.now()
    found = [context.converged.find(key, context.inputs(await context.sources(key), key), now) for key in keys]
    return None not in found


async def _reconciled(cluster: Cluster, keys: Sequence[Key]) -> list[float]:
    """Milliseconds of each reconcile."""
    clock, milliseconds = SystemClock(), []
    for key in keys:
        started = time.perf_counter()
        await reconcile(key, ReconcileContext(cluster, SETTINGS, clock))
        milliseconds.append((time.perf_counter() - started) * 1e3)
    return milliseconds


def _times(what: str, milliseconds: Sequence[float]) -> list[Figure]:
    return [
        Figure(f"{what}, P{percent}", percentile(milliseconds, percent), "ms", f"{len(milliseconds)} tenants")
        for percent in (50, 99)
    ]
