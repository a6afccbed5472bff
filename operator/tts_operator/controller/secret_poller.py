"""Secrets that come and go: each tenant's are looked at in turn, since nobody may watch Secrets.

kubelet alone brings changed API keys to their pods after a minute, and a key that was taken away would be good so long;
a signing key whose Secret was deleted would go on to sign until the next periodic list. A reconcile tells the pods at
once. Only versions are read, never what is in a Secret.
"""

import asyncio
from collections.abc import Callable, Iterator

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import ClusterError
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Ref
from tts_operator.objects.ownership import controlled_by
from tts_operator.snapshot.observed import Observed

EVERY_SECONDS = 5.0
"""Between two looks at one Secret."""
LEAST_PAUSE_SECONDS = 0.05
"""Between two looks at any: more than a hundred Secrets take longer than that to go through, a thousand 50 s."""


class SecretPoller:
    """Those that exist, as reconciles saw them; API keys that are missing are looked for by `looks`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seen: dict[Key, dict[Ref, str]] = {}

    def saw(self, observed: Observed) -> None:
        """A reconcile has read them, and tells the pods what it read."""
        found = {} if observed.deleting else dict(versions_of(observed))
        if found:
            self._seen[observed.key] = found
        else:
            self._seen.pop(observed.key, None)

    async def run(self, changed: Callable[[Key], None]) -> None:
        """Call `changed` with each tenant one of whose Secrets is another than its last reconcile saw; for ever."""
        while True:
            everything = [(key, ref) for key, found in self._seen.items() for ref in found]
            if not everything:
                await asyncio.sleep(EVERY_SECONDS)
            for key, ref in everything:
                await asyncio.sleep(max(EVERY_SECONDS / len(everything), LEAST_PAUSE_SECONDS))
                if await self._moved(key, ref):
                    changed(key)

    async def _moved(self, key: Key, ref: Ref) -> bool:
        before = self._seen.get(key, {}).get(ref)
        if before is None:
            return False
        try:
            found = await self._cluster.get(ref, metadata_only=True)
        except ClusterError:  # of an API server that is away, others tell
            return False
        now = str(found["metadata"]["resourceVersion"]) if found else ""
        if now == before or self._seen.get(key, {}).get(ref) != before:  # a reconcile may have read it meanwhile
            return False
        self._seen[key][ref] = now  # told once
        return True


def versions_of(observed: Observed) -> Iterator[tuple[Ref, str]]:
    """Of the Secret with the API keys, and of those that the operator made."""
    if observed.keys_secret_exists:
        yield Ref("v1", "Secret", observed.key.namespace, observed.keys_secret), observed.keys_secret_version
    for ref, child in observed.children.items():
        if ref.kind == "Secret" and controlled_by(child, observed.uid):
            yield ref, str(child["metadata"]["resourceVersion"])
