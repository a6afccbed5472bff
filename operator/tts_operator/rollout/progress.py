"""Which tenants run the last change of each model, for the model's status."""

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

from tts_operator.objects.fields import decimal
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import DEPLOYMENT
from tts_operator.objects.labels import MODEL_LABEL
from tts_operator.objects.manifest import Body
from tts_operator.rollout.policy import PoolKey, Sources, finished, pool_key
from tts_operator.snapshot.observed import Observed


class Running(NamedTuple):
    """The state of one pool."""

    digest: str
    """Digest of the model, as `Sources` has it; empty while not every pod runs it."""
    version: int
    """resourceVersion of the Deployment."""


class RolloutProgress:
    """Tracks what every pool runs. It learns of it as `RolloutLimiter` does. Used by one event loop."""

    def __init__(self) -> None:
        self._running: defaultdict[str, dict[PoolKey, Running]] = defaultdict(dict)  # by model
        self._changed: set[str] = set()

    def record(self, deployment: Body, *, gone: bool = False) -> None:
        """Record a Deployment's state. One older than the last recorded state, by resourceVersion, is ignored."""
        metadata = deployment["metadata"]
        model, pool = str((metadata.get("labels") or {}).get(MODEL_LABEL, "")), pool_key(deployment)
        running = self._running[model]
        if gone:
            if running.pop(pool, None) is not None:
                self._changed.add(model)
            return
        version = decimal(str(metadata.get("resourceVersion") or ""))
        before = running.get(pool)
        if before is not None and version < before.version:
            return
        sources = Sources.read(deployment)
        digest = sources.model if sources is not None and finished(deployment) else ""
        running[pool] = Running(digest, version)
        if before is None or before.digest != digest:
            self._changed.add(model)

    def record_tenant(self, observed: Observed) -> None:
        """Record the state of all pools of one tenant."""
        for ref, live in observed.children.items():
            if ref.kind == DEPLOYMENT.name:
                self.record(live)

    def retain(self, existing: Collection[PoolKey]) -> None:
        """Forget every pool but these."""
        for model, running in self._running.items():
            for pool in [each for each in running if each not in existing]:
                del running[pool]
                self._changed.add(model)

    def outdated(self, model: str, digest: str) -> frozenset[Key]:
        """Tenants with a pool of the model that does not run the one of this digest, or not in every pod."""
        running = self._running.get(model, {})
        return frozenset(pool.tenant for pool, found in running.items() if found.digest != digest)

    def changed_models(self) -> frozenset[str]:
        """Models for which this has changed since the last call."""
        changed = frozenset(self._changed - {""})
        self._changed.clear()
        return changed
