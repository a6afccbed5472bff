"""Status of a TTSTenant."""

from collections.abc import Iterable, Mapping
from typing import Any

from tts_operator.calendar import tz_database
from tts_operator.objects import fields
from tts_operator.objects.problem import Problem
from tts_operator.plan.outcome import Outcome
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed
from tts_operator.status.conditions import conditions, timestamp
from tts_operator.status.policies import (
    POLICIES,
    REDIS,
    STILL_SERVING,
    STORAGE,
    SUMMARIZED,
    PolicyInput,
    pod_failures_of,
    some_pods_failing,
)
from tts_operator.status.progressing import PROGRESSING, progressing


def status(resolved: Resolved, observed: Observed, outcome: Outcome) -> dict[str, Any]:
    """The whole status. While the spec is refused, only conditions and the fields of the schedule change."""
    inputs = PolicyInput(resolved, observed, outcome)
    before = dict(observed.status)
    result = {**before, **schedule_fields(resolved)} if resolved.refused else status_fields(inputs)
    if "release" in before:  # claimed before anything else is written
        result["release"] = before["release"]
    result["observedGeneration"] = observed.generation
    result["conditions"] = all_conditions(inputs, before.get("conditions") or ())
    return result


def status_fields(inputs: PolicyInput) -> dict[str, Any]:
    """Every field of the status except conditions and observedGeneration."""
    resolved = inputs.resolved
    pools = [pool_status(inputs, pool) for pool in resolved.pools]
    default = resolved.pools[0]
    result: dict[str, Any] = {
        "activeWindow": "",
        **schedule_fields(resolved),
        "pools": pools,
        "replicas": f"{sum(pool['ready'] for pool in pools)}/{sum(pool['desired'] for pool in pools)}",
        "model": default.model_name,
        "url": f"http://{resolved.key.name}.{resolved.key.namespace}.svc",
    }
    if default.precision:
        result["precision"], result["precisionReason"] = default.precision.name, default.precision.message
    else:  # the pool keeps its last pods, so their last reported precision still holds
        kept = ("precision", "precisionReason")
        result.update({name: inputs.observed.status[name] for name in kept if name in inputs.observed.status})
    return result


def schedule_fields(resolved: Resolved) -> dict[str, Any]:
    """Fields that the schedule determines; empty while the spec is refused and no earlier schedule is followed."""
    result: dict[str, Any] = {}
    if resolved.window:
        result["activeWindow"] = resolved.window.window
    if resolved.following or (resolved.tenant and not resolved.refused and resolved.tenant.spec.schedule):
        result["timeZoneDatabase"] = tz_database.VERSION
    if change := resolved.next_transition:
        result["nextTransition"] = {
            "time": timestamp(change.at),
            "window": change.window,
            "minReplicas": change.bounds.min_replicas,
            "maxReplicas": change.bounds.max_replicas,
        }
    return result


def pool_status(inputs: PolicyInput, pool: Pool) -> dict[str, Any]:
    """One entry of `status.pools`."""
    deployment = lookup.deployment(inputs.observed, pool.name)
    failures = pod_failures_of(inputs, pool.name)
    before = {each["model"]: each for each in inputs.observed.status.get("pools") or ()}.get(pool.model_name, {})
    result = {
        "model": pool.model_name,
        "role": pool.role,
        "precision": pool.precision.name if pool.precision else before.get("precision", ""),
        "min": pool.bounds.min_replicas,
        "max": pool.bounds.max_replicas,
        "desired": fields.replicas(deployment) if deployment else 0,
        "ready": fields.count(deployment, "readyReplicas") if deployment else 0,
    }
    return {**result, "reason": failures[0].reason} if failures else result


def all_conditions(inputs: PolicyInput, before: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every condition, each with the time of its last change."""
    problems: dict[str, Problem | None] = {
        name: next((problem for policy in policies if (problem := policy(inputs))), None)
        for name, policies in POLICIES.items()
    }
    if inputs.resolved.refused or inputs.resolved.redis is None:
        del problems[REDIS]
    if inputs.resolved.refused:
        del problems[STORAGE]
    summarized = (policy for name in SUMMARIZED for policy in POLICIES[name] if policy not in STILL_SERVING)
    not_ready = (problem for policy in summarized if (problem := policy(inputs)))
    problems["Ready"] = next(not_ready, None) or some_pods_failing(inputs)
    notes = {name: note(inputs, name) for name in problems}
    progress = progressing(inputs)
    problems[PROGRESSING] = progress.problem if progress.under_way else None
    notes[PROGRESSING] = progress.problem
    generation, now = inputs.observed.generation, inputs.resolved.now
    return conditions(problems, notes, before, generation, now, negative={PROGRESSING})


def note(inputs: PolicyInput, name: str) -> Problem | None:
    """Reason and message of a condition that is True; None for the default reason without a message."""
    notes = inputs.resolved.notes
    if name == "Accepted" and notes:
        return Problem(notes[0].reason, "; ".join(each.message for each in notes))
    if name == STORAGE and inputs.resolved.s3 is None:
        return Problem(
            "LocalFiles",
            "audio behind links is stored in files of the pod that synthesized it, and is lost with the pod:"
            " set spec.storage.s3 to keep it longer",
        )
    return None
