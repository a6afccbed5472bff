"""Claims of tenants: of several releases of the operator, one works for a tenant, and the others stay away."""

from dataclasses import replace
from datetime import datetime

import structlog

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotFound
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body
from tts_operator.objects.names import STANDBY_MANAGER
from tts_operator.observe.reader import tenant_ref
from tts_operator.snapshot.observed import Observed
from tts_operator.status.claim import SINGLE_RELEASE, claimed_by, owner_of, standby_status
from tts_operator.status.conditions import condition_of

log = structlog.get_logger()


class Claims:
    """Claims tenants for one release, before anything is written for them."""

    def __init__(self, cluster: Cluster, release: str) -> None:
        self._cluster = cluster
        self._release = release
        self._elsewhere: set[Key] = set()
        self._cleared: set[str] = set()  # UIDs of tenants whose condition of others was removed once

    @property
    def elsewhere(self) -> frozenset[Key]:
        """Tenants that belong to other releases."""
        return frozenset(self._elsewhere)

    async def hold(self, observed: Observed, now: datetime) -> Observed | None:
        """Claim a tenant that belongs to nobody. None if it is another's, which is reported in its status.

        Raises ClusterError; Conflict if another release may have claimed it in the same moment.
        """
        if observed.body is None:
            return observed
        if owner_of(observed.body) not in ("", self._release):
            await self._stay_away(observed, observed.body, now)
            return None
        self._elsewhere.discard(observed.key)
        if claimed_by(observed.body) != self._release:
            claimed = await self._cluster.claim(tenant_ref(observed.key), observed.body, self._release)
            observed = replace(observed, body={**observed.body, **claimed})
        await self._clear(observed)
        return observed

    def forget(self, observed: Observed) -> None:
        """Drop what is known about a tenant that is gone or being deleted."""
        self._elsewhere.discard(observed.key)
        self._cleared.discard(observed.uid)

    async def _stay_away(self, observed: Observed, body: Body, now: datetime) -> None:
        if observed.key not in self._elsewhere:
            self._elsewhere.add(observed.key)
            log.info("tenant belongs to another release", tenant=str(observed.key), release=owner_of(body))
        if (status := standby_status(body, now)) is not None:
            await self._write(observed, status)

    async def _clear(self, observed: Observed) -> None:
        """Remove the condition of releases that stayed away, once: any that still watches writes it again."""
        if observed.uid not in self._cleared and condition_of(observed.status, SINGLE_RELEASE):
            self._cleared.add(observed.uid)
            await self._write(observed, {})

    async def _write(self, observed: Observed, status: dict[str, object]) -> None:
        try:
            await self._cluster.apply_status(tenant_ref(observed.key), observed.uid, status, STANDBY_MANAGER)
        except NotFound:
            return  # it was deleted
