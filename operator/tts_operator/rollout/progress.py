"""Which tenants run the last change of each model, for the model's status."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from tts_operator.objects import fields
from tts_operator.objects.fields import decimal
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import DEPLOYMENT
from tts_operator.objects.labels import MODEL_LABEL
from tts_operator.objects.manifest import Body
from tts_operator.objects.ownership import controller_of
from tts_operator.rollout.canary import Canary, CanaryState, Phase, TenantState, canary_state
from tts_operator.rollout.policy import FATAL, PoolKey, Sources, finished, latest, pool_key
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed
from tts_operator.snapshot.pod_failures import failures_of_pod


class Running(NamedTuple):
    """The state of one pool."""

    uid: str
    """UID of its tenant."""
    latest: str
    """Digest of the model in its pod template."""
    since: datetime | None
    """When its last rollout finished; None while it has not, and where that is not known."""
    replicas: int
    available: bool
    """Whether as many replicas are available as are wanted."""

    digest: str
    """Digest of the model, as `Sources` has it; empty while not every pod runs it."""
    version: int
    """resourceVersion of the Deployment."""


class RolloutProgress:
    """Tracks what every pool runs. It learns of it as `RolloutLimiter` does. Used by one event loop."""

    def __init__(self) -> None:
        self._running: defaultdict[str, dict[PoolKey, Running]] = defaultdict(dict)  # by model
        self._failures: dict[PoolKey, str] = {}
        self._changed: set[str] = set()
        self.revision = 0
        """Number of changes of anything that this has recorded."""

    def record(self, deployment: Body, *, gone: bool = False) -> None:
        """Record a Deployment's state. One older than the last recorded state, by resourceVersion, is ignored."""
        metadata = deployment["metadata"]
        model, pool = str((metadata.get("labels") or {}).get(MODEL_LABEL, "")), pool_key(deployment)
        running = self._running[model]
        if gone:
            self._failures.pop(pool, None)
            if running.pop(pool, None) is not None:
                self.revision += 1
                self._changed.add(model)
            return
        version = decimal(str(metadata.get("resourceVersion") or ""))
        before = running.get(pool)
        if before is not None and version < before.version:
            return
        sources = Sources.read(deployment)
        newest = sources.model if sources is not None else ""
        done = finished(deployment)
        replicas = fields.replicas(deployment)
        running[pool] = Running(
            str((controller_of(deployment) or {}).get("uid", "")),
            newest,
            finished_at(deployment) if done else None,
            replicas,
            fields.count(deployment, "availableReplicas") >= replicas,
            newest if done else "",
            version,
        )
        if before is None or before[:-1] != running[pool][:-1]:
            self.revision += 1
        if before is None or before.digest != running[pool].digest:
            self._changed.add(model)

    def record_tenant(self, observed: Observed) -> None:
        """Record the state of all pools of one tenant."""
        for ref, live in observed.children.items():
            if ref.kind == DEPLOYMENT.name:
                self.record(live)
                self._record_failure(live, pods_break(live, lookup.pods_of(observed, ref.name)))

    def retain(self, existing: Collection[PoolKey]) -> None:
        """Forget every pool but these."""
        for model, running in self._running.items():
            for pool in [each for each in running if each not in existing]:
                del running[pool]
                self.revision += 1
                self._failures.pop(pool, None)
                self._changed.add(model)

    def outdated(self, model: str, digest: str) -> frozenset[Key]:
        """Tenants with a pool of the model that does not run the one of this digest, or not in every pod."""
        running = self._running.get(model, {})
        return frozenset(pool.tenant for pool, found in running.items() if found.digest != digest)

    def canary_state(
        self, canary: Canary, failed: Collection[PoolKey] = (), unfit: Collection[PoolKey] = ()
    ) -> CanaryState:
        """State of a change; `failed` and `unfit` are pools that roll it out, as the rollout limiter knows them."""
        tenants: dict[Key, TenantState] = {}
        for pool, found in self._running.get(canary.model, {}).items():
            took = found.latest == canary.digest
            failure = self._failures.get(pool, "") if took else ""
            if took and not failure and pool in failed:
                failure = "its pods do not become ready"
            phase = phase_of(found, canary.digest)
            if pool in unfit and phase is not Phase.RUNS:
                phase = Phase.UNFIT
            tenants[pool.tenant] = TenantState(found.uid, phase, found.since, failure)
        return canary_state(canary, tenants)

    def _record_failure(self, deployment: Body, failure: str) -> None:
        pool = pool_key(deployment)
        if self._failures.get(pool, "") == failure:
            return
        self.revision += 1
        self._changed.add(str((deployment["metadata"].get("labels") or {}).get(MODEL_LABEL, "")))
        if failure:
            self._failures[pool] = failure
        else:
            del self._failures[pool]

    def changed_models(self) -> frozenset[str]:
        """Models for which this has changed since the last call."""
        changed = frozenset(self._changed - {""})
        self._changed.clear()
        return changed


def phase_of(found: Running, digest: str) -> Phase:
    """How far a pool is with the change to the model of this digest."""
    if found.replicas == 0:
        return Phase.UNFIT
    if found.latest != digest:
        return Phase.BEFORE
    return Phase.RUNS if found.digest == digest and found.available else Phase.ROLLS


def finished_at(deployment: Body) -> datetime | None:
    """When the Deployment's last rollout finished: its controller sets that condition once, and keeps it."""
    progressing = fields.condition(deployment, "Progressing") or {}
    return fields.instant(progressing.get("lastUpdateTime"))


def pods_break(deployment: Body, pods: Iterable[Body]) -> str:
    """How pods of the latest template fail: they cannot run, or a container has ended by itself and runs again."""
    for pod in latest(deployment, pods):
        if failure := next((each for each in failures_of_pod(pod) if each.reason in FATAL), None):
            return failure.reason
        if ended := crashed(pod):
            return f"a container ended with {ended}"
    return ""


def crashed(pod: Body) -> str:
    """Reason and exit code of a container's last end, if it was an error; empty if all have run since their start.

    After a restart of its node the kubelet knows no reason: that says nothing about the change.
    """
    status = pod.get("status") or {}
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if ended.get("exitCode") and ended.get("reason") in {"Error", "OOMKilled"}:
            return f"{ended['reason']}, exit code {ended['exitCode']}"
    return ""
