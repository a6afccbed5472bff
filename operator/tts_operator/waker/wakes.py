"""Asks the operator for a replica of a tenant: writes `status.wake` of the TTSTenant, and nothing else."""

import asyncio
from collections.abc import Callable

import structlog

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import ClusterError
from tts_operator.objects.kinds import TENANT
from tts_operator.objects.manifest import Ref
from tts_operator.waker.tenants import Tenant

log = structlog.get_logger()

WAKE_MANAGER = "tts-waker"
"""Field manager of `status.wake`."""
ASK_SECONDS = 5.0
"""Shortest time between two requests for one tenant, seconds: the operator needs less to follow the first."""


class Wakes:
    """Requests for replicas, at most one for each tenant in ASK_SECONDS."""

    def __init__(self, cluster: Cluster, clock: Clock, written: Callable[[], None] = lambda: None) -> None:
        self._cluster = cluster
        self._clock = clock
        self._written = written
        self._asked: dict[str, float] = {}  # by UID: monotonic time of the last request
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, tenant: Tenant) -> None:
        """Ask for a replica, unless that was done a moment ago."""
        now = self._clock.monotonic()
        asked = self._asked.get(tenant.uid)
        if asked is not None and now - asked < ASK_SECONDS:
            return
        self._asked = {uid: at for uid, at in self._asked.items() if now - at < ASK_SECONDS} | {tenant.uid: now}
        task = asyncio.get_running_loop().create_task(self._write(tenant))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, tenant: Tenant) -> None:
        ref = Ref.of(TENANT, tenant.key.namespace, tenant.key.name)
        requested_at = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            await self._cluster.apply_status(ref, tenant.uid, {"wake": {"requestedAt": requested_at}}, WAKE_MANAGER)
        except ClusterError as error:
            log.warning("replica not requested", tenant=str(tenant.key), error=str(error))
        else:
            log.info("replica requested", tenant=str(tenant.key))
            self._written()
