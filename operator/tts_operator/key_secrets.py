"""API keys that come and go: each tenant's Secret is looked at in turn, since nobody may watch Secrets.

kubelet alone brings a changed Secret to its pods after a minute, and a key that was taken away would be good so long. A
reconcile tells the pods at once. Only the version is read, never what is in it.
"""

import asyncio
from collections.abc import Callable

from tts_operator.api_errors import ClusterError
from tts_operator.cluster import Cluster
from tts_operator.manifest import Ref
from tts_operator.observed import Key, Observed

EVERY_SECONDS = 5.0
"""Between two looks at one Secret."""
LEAST_PAUSE_SECONDS = 0.05
"""Between two looks at any: more than a hundred tenants take longer than that to go through, a thousand 50 s."""


class KeySecrets:
    """Those that exist, as reconciles saw them; one that is missing is looked for by `looks`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seen: dict[Key, tuple[Ref, str]] = {}

    def saw(self, observed: Observed) -> None:
        """A reconcile has read it, and tells the pods what it read."""
        if observed.deleting or not observed.keys_secret_exists:
            self._seen.pop(observed.key, None)
        else:
            ref = Ref("v1", "Secret", observed.key.namespace, observed.keys_secret)
            self._seen[observed.key] = ref, observed.keys_secret_version

    async def run(self, changed: Callable[[Key], None]) -> None:
        """Call `changed` with each tenant whose Secret is another than its last reconcile saw; for ever."""
        while True:
            keys = list(self._seen)
            if not keys:
                await asyncio.sleep(EVERY_SECONDS)
            for key in keys:
                await asyncio.sleep(max(EVERY_SECONDS / len(keys), LEAST_PAUSE_SECONDS))
                if await self._moved(key):
                    changed(key)

    async def _moved(self, key: Key) -> bool:
        seen = self._seen.get(key)
        if seen is None:
            return False
        ref, version = seen
        try:
            found = await self._cluster.get(ref, metadata_only=True)
        except ClusterError:  # of an API server that is away, others tell
            return False
        now = str(found["metadata"]["resourceVersion"]) if found else ""
        if now == version or self._seen.get(key) != seen:  # a reconcile may have read it meanwhile
            return False
        self._seen[key] = ref, now  # told once
        return True
