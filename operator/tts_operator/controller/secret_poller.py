"""Polls the versions of tenants' Secrets: the operator has no permission to watch Secrets.

The kubelet alone delivers changed API keys after a minute, and a revoked key would be valid for as long; a deleted
signing key would keep signing until the next periodic list. A reconcile annotates the pods at once. Only metadata is
read, never the content of a Secret.
"""

import asyncio
from collections.abc import Callable, Iterator

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import ClusterError
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import SECRET
from tts_operator.objects.manifest import Ref
from tts_operator.objects.ownership import controlled_by
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
        versions = {} if observed.deleting else dict(versions_of(observed))
        if versions:
            self._seen[observed.key] = versions
        else:
            self._seen.pop(observed.key, None)

    async def run(self, cluster: Cluster, enqueue: Callable[[Key], None]) -> None:
        """Call `enqueue` with each tenant one of whose Secrets changed since its last reconcile. Never returns."""
        while True:
            everything = [(key, ref) for key, versions in self._seen.items() for ref in versions]
            if not everything:
                await asyncio.sleep(POLL_INTERVAL_SECONDS)
            for key, ref in everything:
                await asyncio.sleep(max(POLL_INTERVAL_SECONDS / len(everything), MIN_PAUSE_SECONDS))
                if await self._changed(cluster, key, ref):
                    enqueue(key)

    async def _changed(self, cluster: Cluster, key: Key, ref: Ref) -> bool:
        before = self._seen.get(key, {}).get(ref)
        if before is None:
            return False
        try:
            live = await cluster.get(ref, metadata_only=True)
        except ClusterError:  # reported by whatever else uses the API server
            return False
        now = str(live["metadata"]["resourceVersion"]) if live else ""
        if (
            now == before or self._seen.get(key, {}).get(ref) != before
        ):  # unchanged, or a reconcile has read it meanwhile
            return False
        self._seen[key][ref] = now  # enqueued once
        return True


def versions_of(observed: Observed) -> Iterator[tuple[Ref, str]]:
    """Versions of the Secret with API keys, and of those that the operator created."""
    if observed.keys_secret_exists:
        yield Ref.of(SECRET, observed.key.namespace, observed.keys_secret), observed.keys_secret_version
    for ref, child in observed.children.items():
        if ref.kind == SECRET.name and controlled_by(child, observed.uid):
            yield ref, str(child["metadata"]["resourceVersion"])
