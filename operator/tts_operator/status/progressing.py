"""The conditions Progressing, Reconciling and Stalled: whether pods are still being brought to the present spec."""

from typing import NamedTuple

from tts_operator.objects import fields
from tts_operator.objects.kinds import DEPLOYMENT
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.problem import Problem
from tts_operator.resolve.resolved import Resolved
from tts_operator.rollout.canary import WAITING_FOR_CANARY
from tts_operator.rollout.policy import finished
from tts_operator.rollout.situation import WAITING
from tts_operator.snapshot import lookup
from tts_operator.status.policies import SUSPENDED, PolicyInput, suspended, throttled, write_failed

PROGRESSING = "Progressing"
RECONCILING = "Reconciling"
"""Type that kstatus takes for "in progress" (kubernetes-sigs/cli-utils, pkg/kstatus). Absent unless it is True."""
STALLED = "Stalled"
"""Type that kstatus takes for "failed". Absent unless it is True."""
COMPLETE = "Complete"
DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"


class Progress(NamedTuple):
    """Value of the condition Progressing."""

    under_way: bool
    """Whether it will go on without anybody's help."""
    problem: Problem
    """Its reason and message."""

    @property
    def done(self) -> bool:
        """Whether no pod runs an earlier spec."""
        return not self.under_way and self.problem.reason in {COMPLETE, SUSPENDED}


def progressing(inputs: PolicyInput) -> Progress:
    """Whether pods are being replaced, started or stopped; `Complete` once every pod runs the spec that was read.

    False with any other reason: it does not go on until someone acts.
    """
    if problem := held_up(inputs):
        return Progress(problem.reason in {WAITING, WAITING_FOR_CANARY}, problem)
    if suspended(inputs):
        return suspending(inputs)
    for pool in inputs.resolved.pools:
        live = current_deployment(inputs, pool.name)
        if live is not None and not finished(live):
            return of_deployment(live)
        if live is None and pool.model is not None and not inputs.resolved.at_zero:
            return Progress(True, Problem("RollingOut", f"deployment {pool.name} is not created yet"))
    return unusable(inputs.resolved) or Progress(False, Problem(COMPLETE, ""))


def held_up(inputs: PolicyInput) -> Problem | None:
    """Why pods may not follow the spec; None if they may."""
    if refused := inputs.resolved.refused:
        return Problem(refused.reason, f"the spec is rejected, see condition Accepted: {refused.message}")
    return write_failed(inputs) or throttled(inputs)


def suspending(inputs: PolicyInput) -> Progress:
    """Whether pods of a suspended tenant still run."""
    for ref, live in sorted(inputs.observed.children.items()):
        if ref.kind == DEPLOYMENT.name and (fields.replicas(live) or fields.count(live, "replicas")):
            return Progress(True, Problem("Suspending", f"the pods of {ref.name} are being stopped"))
    return Progress(False, Problem(SUSPENDED, "no pod runs: spec.suspend is true"))


def unusable(resolved: Resolved) -> Progress | None:
    """A model cannot be used, so that its pool keeps its last pods or has none; None if every model can."""
    if all(pool.model is not None or pool.retiring for pool in resolved.pools) or not resolved.model_problems:
        return None
    reason, message = resolved.model_problems[0]
    return Progress(False, Problem(reason, f"a model cannot be used, see condition ModelsResolved: {message}"))


def of_deployment(live: Body) -> Progress:
    """Progress of a Deployment that has not finished its rollout."""
    name, replicas = live["metadata"]["name"], fields.replicas(live)
    seen = fields.count(live, "observedGeneration") >= int(live["metadata"].get("generation", 0))
    ready = f"{fields.count(live, 'updatedReplicas') if seen else 0} of {replicas} pods of {name} are up to date"
    condition = fields.condition(live, "Progressing") or {}
    if seen and condition.get("reason") == DEADLINE_EXCEEDED:
        return Progress(
            False,
            Problem("ProgressDeadlineExceeded", f"{ready}, and no other became ready for ten minutes"),
        )
    return Progress(True, Problem("RollingOut", f"{ready}, {fields.count(live, 'availableReplicas')} are available"))


def stuck(progress: Progress) -> Problem | None:
    """New pods do not become ready, so that the change does not reach callers. The previous pods keep serving."""
    if progress.problem.reason != DEADLINE_EXCEEDED:
        return None
    message = f"{progress.problem.message}: read the log of the new pods; the previous pods keep serving"
    return Problem("ProgressDeadlineExceeded", message)


def stalled(inputs: PolicyInput, progress: Progress) -> Problem | None:
    """Why the spec will not be followed until it, or what it names, is changed; None while it may come by itself."""
    return progress.problem if inputs.resolved.refused else stuck(progress)


def current_deployment(inputs: PolicyInput, pool: str) -> Body | None:
    """Deployment of a pool as this reconcile applied it, else as it was read."""
    ref = Ref.of(DEPLOYMENT, inputs.resolved.key.namespace, pool)
    return inputs.outcome.applied.get(ref) or lookup.deployment(inputs.observed, pool)
