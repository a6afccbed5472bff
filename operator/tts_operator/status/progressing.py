"""The condition Progressing: whether the operator is still bringing pods to the present spec."""

from typing import NamedTuple

from tts_operator.objects import fields
from tts_operator.objects.kinds import DEPLOYMENT
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.problem import Problem
from tts_operator.rollout.policy import finished
from tts_operator.rollout.situation import WAITING
from tts_operator.snapshot import lookup
from tts_operator.status.policies import PolicyInput, suspended, throttled, write_failed

PROGRESSING = "Progressing"


class Progress(NamedTuple):
    """Value of the condition."""

    under_way: bool
    """Whether it will go on without anybody's help."""
    problem: Problem
    """Its reason and message."""


def progressing(inputs: PolicyInput) -> Progress:
    """Whether pods are being replaced or started; `Complete` once every pod runs the spec that was read.

    False with any other reason: it does not go on until someone acts.
    """
    if problem := held_up(inputs):
        return Progress(problem.reason == WAITING, problem)
    for pool in inputs.resolved.pools:
        live = current_deployment(inputs, pool.name)
        if live is not None and not finished(live):
            return of_deployment(live)
        if live is None and pool.model is not None:  # otherwise ModelsResolved says why it has no pods
            return Progress(True, Problem("RollingOut", f"deployment {pool.name} is not created yet"))
    return Progress(False, Problem("Complete", ""))


def held_up(inputs: PolicyInput) -> Problem | None:
    """Why pods may not follow the spec; None if they may."""
    if refused := inputs.resolved.refused:
        return Problem(refused.reason, f"the spec is rejected, see condition Accepted: {refused.message}")
    if problem := write_failed(inputs) or throttled(inputs):
        return problem
    return Problem("Suspended", "no pod runs: spec.suspend is true") if suspended(inputs) else None


def of_deployment(live: Body) -> Progress:
    """Progress of a Deployment that has not finished its rollout."""
    name, replicas = live["metadata"]["name"], fields.replicas(live)
    seen = fields.count(live, "observedGeneration") >= int(live["metadata"].get("generation", 0))
    ready = f"{fields.count(live, 'updatedReplicas') if seen else 0} of {replicas} pods of {name} are up to date"
    condition = fields.condition(live, "Progressing") or {}
    if seen and condition.get("reason") == "ProgressDeadlineExceeded":
        return Progress(
            False, Problem("ProgressDeadlineExceeded", f"{ready}, and no other became ready for ten minutes")
        )
    return Progress(True, Problem("RollingOut", f"{ready}, {fields.count(live, 'availableReplicas')} are available"))


def current_deployment(inputs: PolicyInput, pool: str) -> Body | None:
    """Deployment of a pool as this reconcile applied it, else as it was read."""
    ref = Ref.of(DEPLOYMENT, inputs.resolved.key.namespace, pool)
    return inputs.outcome.applied.get(ref) or lookup.deployment(inputs.observed, pool)
