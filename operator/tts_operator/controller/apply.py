"""Applies a plan to the API server."""

import contextlib
from collections.abc import Awaitable, Collection, Sequence

import structlog

from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Conflict, NotFound, Refused
from tts_operator.objects.additions import json_patch
from tts_operator.objects.kinds import CONFIG_MAP, SECRET
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.ownership import controlled_by
from tts_operator.objects.problem import Problem
from tts_operator.plan.actions import Action, Annotate, Apply, Delete, Refuse, Remove, Scale
from tts_operator.plan.outcome import Outcome
from tts_operator.plan.plan import name_taken
from tts_operator.snapshot.observed import Observed

log = structlog.get_logger()


class PlanExecutor:
    """Performs the actions of one plan. `outcome` is up to date at any time, also after `run` was cancelled."""

    def __init__(self, cluster: Cluster, observed: Observed) -> None:
        self._cluster = cluster
        self._observed = observed
        self._failures: dict[Ref, Problem] = {}
        self._unwritten: set[Ref] = set()
        self._applied: dict[Ref, Body] = {}
        self._scaled: set[Ref] = set()
        self._stale = False

    @property
    def outcome(self) -> Outcome:
        """Result of the actions performed so far."""
        return Outcome(dict(self._failures), dict(self._applied), frozenset(self._scaled), self._stale)

    async def run(self, actions: Sequence[Action]) -> Outcome:
        """Perform each action. One that fails does not stop the rest, except those that depend on it."""
        for action in actions:
            if not depends_on_failure(action, self._unwritten):
                await self._try(action)
        self._log(actions)
        return self.outcome

    async def _try(self, action: Action) -> None:
        try:
            await self._perform(action)
        except (Conflict, NotFound) as error:
            if isinstance(action, Remove | Scale | Delete):
                self._stale = True
                if isinstance(action, Remove):
                    self._unwritten.add(action.ref)  # what follows goes with the next reading
            else:
                self._fail(action, error.problem)
        except Refused as error:
            self._fail(action, error.problem)

    def _fail(self, action: Action, problem: Problem) -> None:
        self._failures[action.ref] = problem
        if not isinstance(action, Remove) and not (isinstance(action, Refuse) and action.lingers):
            self._unwritten.add(action.ref)

    async def _perform(self, action: Action) -> None:
        match action:
            case Apply():
                first = await self._is_first(action)
                self._applied[action.ref] = await self._cluster.apply(action.manifest, force=not first)
            case Remove():
                patch = json_patch(action.additions, action.resource_version)
                self._applied[action.ref] = await self._cluster.json_patch(action.ref, patch)
            case Scale():
                version = action.resource_version or self._applied_version(action.ref)
                write = self._cluster.own_replicas if action.owns else self._cluster.scale
                await write(action.ref, action.replicas, version)
                self._scaled.add(action.ref)
            case Annotate():
                await unless_gone(self._cluster.annotate(action.ref, action.annotation, action.value))
            case Delete():
                await unless_gone(self._cluster.delete(action.ref, action.uid))
            case Refuse():
                raise Refused(*action.problem)

    def _applied_version(self, ref: Ref) -> str:
        """The resourceVersion after this plan's other writes. Raises Conflict if none was made."""
        if ref not in self._applied:
            raise Conflict("Conflict", f"{ref} was not written")
        return str(self._applied[ref]["metadata"]["resourceVersion"])

    async def _is_first(self, action: Apply) -> bool:
        """Whether this apply creates the object. Raises Refused if a foreign object has its name.

        The reading did not find it by its label, which someone may have removed, or it was created since.
        """
        if not action.create:
            return False
        live = await self._cluster.get(action.ref)
        if live is not None and not controlled_by(live, self._observed.uid):
            raise Refused(*name_taken(live, self._observed.key))
        return live is None

    def _log(self, actions: Sequence[Action]) -> None:
        tenant = str(self._observed.key)
        if actions:
            done = [str(action) for action in actions]
            log.info("plan applied", tenant=tenant, actions=done, failed=len(self._failures))
        for ref, problem in self._failures.items():
            log.warning("write failed", tenant=tenant, child=str(ref), reason=problem.reason, message=problem.message)


def depends_on_failure(action: Action, unwritten: Collection[Ref]) -> bool:
    """Whether an earlier failure makes this write useless or wrong.

    A pod that is annotated with the hash of a configuration that was not written would never be annotated again.
    """
    if isinstance(action, Annotate):
        return any(ref.kind in {CONFIG_MAP.name, SECRET.name} for ref in unwritten)
    return isinstance(action, Apply | Scale) and action.ref in unwritten


async def unless_gone(write: Awaitable[None]) -> None:
    """Await a write, and ignore NotFound: the object was deleted meanwhile."""
    with contextlib.suppress(NotFound):
        await write
