"""What the operator reports of a tenant: its status, whole, and the events that tell of its changes."""

from collections.abc import Iterable, Mapping
from typing import Any

from tts_operator.objects import fields
from tts_operator.objects.problem import Problem
from tts_operator.plan.outcome import Outcome
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.rollout.policy import HALTED, WAITING
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed
from tts_operator.status.conditions import conditions, stamp
from tts_operator.status.policies import POLICIES, REDIS, STORAGE, SUMMED, PolicyInput, failing, pod_failures_of


def status(resolved: Resolved, observed: Observed, outcome: Outcome) -> dict[str, Any]:
    """The whole status. A refused spec keeps what was said of its last good children."""
    given = PolicyInput(resolved, observed, outcome)
    before = dict(observed.status)
    said = before if resolved.refused else described(given)
    said["observedGeneration"] = observed.generation
    said["conditions"] = all_conditions(given, before.get("conditions") or ())
    return said


def described(given: PolicyInput) -> dict[str, Any]:
    """Everything but conditions."""
    resolved = given.resolved
    pools = [pool_status(given, pool) for pool in resolved.pools]
    default = resolved.pools[0]
    said: dict[str, Any] = {
        "activeWindow": resolved.window.window if resolved.window else "",
        "pools": pools,
        "replicas": f"{sum(pool['ready'] for pool in pools)}/{sum(pool['desired'] for pool in pools)}",
        "model": default.model_name,
        "url": f"http://{resolved.key.name}.{resolved.key.namespace}.svc",
    }
    if change := resolved.next_transition:
        said["nextTransition"] = {
            "time": stamp(change.at),
            "window": change.window,
            "minReplicas": change.bounds.min_replicas,
            "maxReplicas": change.bounds.max_replicas,
        }
    if default.precision:
        said["precision"], said["precisionReason"] = default.precision.name, default.precision.message
    else:  # the pool keeps its last pods, so what was said of them still holds
        kept = ("precision", "precisionReason")
        said.update({name: given.observed.status[name] for name in kept if name in given.observed.status})
    return said


def pool_status(given: PolicyInput, pool: Pool) -> dict[str, Any]:
    """One Deployment."""
    deployment = lookup.deployment(given.observed, pool.name)
    found = pod_failures_of(given, pool.name)
    before = {each["model"]: each for each in given.observed.status.get("pools") or ()}.get(pool.model_name, {})
    said = {
        "model": pool.model_name,
        "role": pool.role,
        "precision": pool.precision.name if pool.precision else before.get("precision", ""),
        "min": pool.bounds.min_replicas,
        "max": pool.bounds.max_replicas,
        "desired": fields.replicas(deployment) if deployment else 0,
        "ready": fields.count(deployment, "readyReplicas") if deployment else 0,
    }
    return {**said, "reason": found[0].reason} if found else said


def all_conditions(given: PolicyInput, before: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every condition, each with the time of its last change."""
    problems: dict[str, Problem | None] = {
        name: next((problem for policy in policies if (problem := policy(given))), None)
        for name, policies in POLICIES.items()
    }
    if given.resolved.refused or given.resolved.redis is None:
        del problems[REDIS]
    if given.resolved.refused:
        del problems[STORAGE]
    summed = (problem for name in SUMMED if (problem := problems[name]) and problem.reason not in {WAITING, HALTED})
    problems["Ready"] = next(summed, None) or failing(given)
    notes = {name: noted(given, name) for name in problems}
    return conditions(problems, notes, before, given.observed.generation, given.resolved.now)


def noted(given: PolicyInput, name: str) -> Problem | None:
    """What a condition that holds still has to tell."""
    notes = given.resolved.notes
    if name == "Accepted" and notes:
        return Problem(notes[0].reason, "; ".join(note.message for note in notes))
    if name == STORAGE and given.resolved.s3 is None:
        return Problem("LocalFiles", "audio that links lead to is in files of the pod that made it, and goes with it")
    return None
