"""Polls the versions of tenants' Secrets: the operator has no permission to watch Secrets.

The kubelet alone delivers changed API keys after a minute, and a revoked key would be valid for as long; a deleted
signing key would keep signing until the next periodic list. A reconcile annotates the pods at once. Only metadata is
read, never the content of a Secret. A reconcile of a tenant of which nothing has changed reads no Secret, because the
poller tells what changes.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import ClusterError
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Ref
from tts_operator.snapshot.observed import Observed

POLL_INTERVAL_SECONDS = 5.0
"""Poll interval per Secret, seconds."""
MIN_PAUSE_SECONDS = 0.05
"""Minimum between two requests, seconds: beyond a hundred Secrets the interval grows, to 50 s for a thousand."""


class SecretPoller:
    """Polls the Secrets that reconciles found. A missing Secret with API keys is polled by requeueing its tenant."""

    def __init__(self) -> None:
        self._seen: dict[Key, dict[Ref, str]] = {}

    def record(self, observed: Observed) -> None:
        """Record the versions that a reconcile has read."""
        versions = {} if observed.deleting else dict(observed.secret_versions)
        if versions:
            self._seen[observed.key] = versions
        else:
            self._seen.pop(observed.key, None)

    async def run(self, cluster: Cluster, enqueue: Callable[[Key], None]) -> None:
        """Call `enqueue` with each tenant one of whose Secrets changed since its last reconcile. Never returns."""
        while True:
            everything = self._tenants_by_secret()
            if not everything:
                await asyncio.sleep(POLL_INTERVAL_SECONDS)
            for ref, keys in everything.items():
                await asyncio.sleep(max(POLL_INTERVAL_SECONDS / len(everything), MIN_PAUSE_SECONDS))
                for key in await self._changed(cluster, ref, keys):
                    enqueue(key)

    def _tenants_by_secret(self) -> dict[Ref, list[Key]]:
        """Tenants of each Secret: many read the one with the keys of their models' store."""
        found: defaultdict[Ref, list[Key]] = defaultdict(list)
        for key, versions in self._seen.items():
            for ref in versions:
                found[ref].append(key)
        return found

    async def _changed(self, cluster: Cluster, ref: Ref, keys: list[Key]) -> list[Key]:
        """Tenants that have not read the present version of a Secret. Each is returned once for each version."""
        before = {key: version for key in keys if (version := self._seen.get(key, {}).get(ref)) is not None}
        if not before:
            return []
        try:
            live = await cluster.get(ref, metadata_only=True)
        except ClusterError:  # reported by whatever else uses the API server
            return []
        now = str(live["metadata"]["resourceVersion"]) if live else ""
        # What a reconcile has read meanwhile is no change.
        changed = [
            key for key, version in before.items() if version != now and self._seen.get(key, {}).get(ref) == version
        ]
        for key in changed:
            self._seen[key][ref] = now
        return changed
