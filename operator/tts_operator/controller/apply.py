"""Executes a plan against the API server."""

import contextlib
from collections.abc import Awaitable, Collection, Mapping, Sequence

import structlog

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Conflict, NotFound, Refused
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.ownership import controlled_by
from tts_operator.objects.problem import Problem
from tts_operator.plan.actions import Action, Annotate, Apply, Delete, Refuse, Scale
from tts_operator.plan.outcome import Outcome
from tts_operator.plan.plan import taken
from tts_operator.snapshot.observed import Observed

log = structlog.get_logger()


async def apply(
    cluster: Cluster, actions: Sequence[Action], observed: Observed, applied: dict[Ref, Body]
) -> tuple[Outcome, bool]:
    """Perform each action; one that fails does not stop the rest. What was applied is put into `applied`, as it is now.

    Also tells whether an object moved on, or went, between the reading and its write: then all must be read again.
    """
    failures: dict[Ref, Problem] = {}
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
