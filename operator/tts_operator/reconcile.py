"""One reconcile: pure parts between two edges of I/O, read top to bottom."""

import contextlib
import platform
import secrets
from collections.abc import Awaitable, Collection, Mapping, Sequence
from datetime import UTC, datetime

import structlog

from tts_operator.actions import Action, Annotate, Apply, Delete, Refuse, Scale
from tts_operator.api_errors import Conflict, NotFound, Refused
from tts_operator.clock import Clock
from tts_operator.cluster import Cluster
from tts_operator.desired import build
from tts_operator.fleet import Fleet
from tts_operator.manifest import Body, Manifest, Ref
from tts_operator.moves import Upcoming, upcoming
from tts_operator.names import API_VERSION, GROUP, MANAGER
from tts_operator.observe import observe, tenant_ref, with_signing_key
from tts_operator.observe_stores import with_stores
from tts_operator.observed import Key, Observed, controlled_by
from tts_operator.operator_stores import NO_STORES, OperatorStores
from tts_operator.outcome import Failure, Outcome
from tts_operator.plan import plan, taken
from tts_operator.resolve import resolve
from tts_operator.secret_versions import SecretVersions
from tts_operator.settings import Settings
from tts_operator.status import Event, events, status

log = structlog.get_logger()

LONGEST_NOTE_BYTES = 1024
"""Of an event: the API server says characters, and counts bytes."""


class ReconcileFailed(Exception):  # noqa: N818 - it says what happened
    """Some writes failed; the tenant's status says which, and the queue tries again later."""

    def __init__(self, message: str, coming: Upcoming | None = None) -> None:
        """`coming`: when to look again whatever becomes of them."""
        super().__init__(message)
        self.coming = coming


async def reconcile(
    key: Key,
    cluster: Cluster,
    settings: Settings,
    clock: Clock,
    *,
    stores: OperatorStores = NO_STORES,
    fleet: Fleet | None = None,
    secret_versions: SecretVersions | None = None,
) -> Upcoming | None:
    """Converge one tenant. Returns when to look again even if nothing happens, None for never.

    `fleet` knows who else is rolling; without it no tenant waits for another. `secret_versions` hears what was read.

    Raises ReconcileFailed after reporting, and ClusterError where there is nothing to report to.
    """
    observed = await with_signing_key(await observe(cluster, key), clock.now())
    fleet = fleet or Fleet()
    fleet.read(observed)
    if secret_versions is not None:
        secret_versions.saw(observed)
    if observed.deleting:
        stores.departed(observed)
        fleet.ask(key, {})
        return None  # owner references collect the children
    observed = await with_stores(observed, cluster, settings, stores.files, unmounted=not stores.sure_of(observed))
    resolved = resolve(observed, settings, clock.now())
    desired = build(resolved)  # None while refused: the last good children stay
    changes = desired.changes if desired else {}
    waits = fleet.ask(key, changes)
    applied: dict[Ref, Body] = {}
    try:
        if waits:
            resolved = resolved.waiting(waits, changes)
            desired = build(resolved)
        actions = plan(desired, observed)
        stores.begins(observed)
        outcome, outrun = await apply(cluster, actions, observed, applied)
    finally:
        in_turn = changes.keys() - waits.keys()
        fleet.took(key, in_turn, [found for ref, found in applied.items() if ref.kind == "Deployment"])
    if not outcome.failures and not outrun:
        stores.ended(observed)
    outcome = await stores.grant(resolved, actions, outcome)
    await report(cluster, observed, status(resolved, observed, outcome), clock.now())
    if outcome.failures:
        failed = "; ".join(f"{ref}: {failure.reason}" for ref, failure in outcome.failures.items())
        raise ReconcileFailed(failed, upcoming(resolved))
    return Upcoming(clock.now()) if outrun else upcoming(resolved)


async def apply(
    cluster: Cluster, actions: Sequence[Action], observed: Observed, applied: dict[Ref, Body]
) -> tuple[Outcome, bool]:
    """Perform each action; one that fails does not stop the rest. What was applied is put into `applied`, as it is now.

    Also tells whether an object moved on, or went, between the reading and its write: then all must be read again.
    """
    failures: dict[Ref, Failure] = {}
    outrun = False
    for action in actions:
        if pointless(action, failures):
            continue
        try:
            written = await perform(cluster, action, observed, applied)
        except (Conflict, NotFound) as error:
            if isinstance(action, Scale | Delete):
                outrun = True
            else:
                failures[action.ref] = error.failure
        except Refused as error:
            failures[action.ref] = error.failure
        else:
            if written is not None:
                applied[action.ref] = written
    if actions:
        log.info(
            "plan applied", tenant=str(observed.key), actions=[str(action) for action in actions], failed=len(failures)
        )
    for ref, failure in failures.items():
        log.warning(
            "write failed", tenant=str(observed.key), child=str(ref), reason=failure.reason, message=failure.message
        )
    return Outcome(failures), outrun


def pointless(action: Action, failures: Collection[Ref]) -> bool:
    """Whether an earlier failure takes the sense from this write.

    A pod that is told of a configuration that was not written would never be told again.
    """
    if isinstance(action, Annotate):
        return any(ref.kind in {"ConfigMap", "Secret"} for ref in failures)
    return isinstance(action, Scale) and action.ref in failures


async def perform(cluster: Cluster, action: Action, observed: Observed, applied: Mapping[Ref, Body]) -> Body | None:
    """One write. Returns what an Apply left behind. Raises ClusterError."""
    match action:
        case Apply():
            return await cluster.apply(action.manifest, force=not await is_first(cluster, action, observed))
        case Scale():
            version = action.resource_version or applied[action.ref]["metadata"]["resourceVersion"]
            await cluster.scale(action.ref, action.replicas, version)
        case Annotate():
            await unless_gone(cluster.annotate(action.ref, action.annotation, action.value))
        case Delete():
            await unless_gone(cluster.delete(action.ref, action.uid))
        case Refuse():
            raise Refused(action.reason, action.message)
    return None


async def is_first(cluster: Cluster, action: Apply, observed: Observed) -> bool:
    """Whether this apply makes the object. Raises Refused if somebody else's has its name.

    The reading found it missing by its label: someone may have taken the label off, or made the object since.
    """
    if not action.create:
        return False
    live = await cluster.get(action.ref)
    if live is not None and not controlled_by(live, observed.uid):
        raise Refused(*taken(live, observed.key))
    return live is None


async def unless_gone(write: Awaitable[None]) -> None:
    """What is gone needs no write any more."""
    with contextlib.suppress(NotFound):
        await write


async def report(cluster: Cluster, observed: Observed, after: Body, now: datetime) -> None:
    """Write the status, once and only if it changed, and tell people what they should see."""
    before = observed.status
    if after == before:
        return
    try:
        await cluster.apply_status(tenant_ref(observed.key), observed.uid, after)
    except NotFound:
        return  # the tenant is gone, or another of its name has come: that one has a key event of its own
    for event in events(before, after):
        try:
            await cluster.create(event_manifest(observed, event, now))
        except Refused as error:
            log.warning("event not recorded", tenant=str(observed.key), reason=event.reason, error=error.message)


def event_manifest(observed: Observed, event: Event, now: datetime) -> Manifest:
    """What `kubectl describe` shows below the tenant."""
    key = observed.key
    ref = Ref("events.k8s.io/v1", "Event", key.namespace, f"{key.name}.{secrets.token_hex(8)}")
    return Manifest(
        ref,
        {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": f"{GROUP}/{MANAGER}",
            "reportingInstance": platform.node() or MANAGER,
            "action": "Reconcile",
            "type": event.type,
            "reason": event.reason,
            "note": event.message.encode()[:LONGEST_NOTE_BYTES].decode(errors="ignore"),
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": "TTSTenant",
                "namespace": key.namespace,
                "name": key.name,
                "uid": observed.uid,
            },
        },
    )
