"""Status of a TTSTenant."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tts_operator.calendar import tz_database
from tts_operator.calendar.zero import wakes_at
from tts_operator.objects import fields
from tts_operator.objects.problem import Problem
from tts_operator.plan.outcome import Outcome
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.resolve.source_urls import urls_expire_at
from tts_operator.snapshot import lookup
from tts_operator.snapshot.accepted import accepted_text, spec_text
from tts_operator.snapshot.memory_kills import past_kills
from tts_operator.snapshot.observed import Observed
from tts_operator.snapshot.waker import Waker
from tts_operator.status.claim import without_wake
from tts_operator.status.conditions import AS_SPECIFIED, conditions, timestamp
from tts_operator.status.cost import cost
from tts_operator.status.policies import (
    CALENDARS,
    EXPOSED,
    KEYS,
    POLICIES,
    REDIS,
    STILL_SERVING,
    STORAGE,
    SUMMARIZED,
    SUSPENDED,
    Policy,
    PolicyInput,
    calendar_ends,
    pod_failures_of,
    pool_names,
    scaled_by_schedule,
    scaled_to_zero,
    some_pods_failing,
    suspended,
)
from tts_operator.status.progressing import (
    PROGRESSING,
    RECONCILING,
    STALLED,
    Progress,
    progressing,
    stalled,
    stuck,
)


def status(resolved: Resolved, observed: Observed, outcome: Outcome) -> dict[str, Any]:
    """The whole status. Where no spec is followed, only conditions change."""
    inputs = PolicyInput(resolved, observed, outcome)
    before = without_wake(observed.status)
    result = status_fields(inputs) if resolved.followed else before
    if text := followed_text(resolved):
        result["acceptedSpec"] = text
    if "release" in before:  # claimed before anything else is written
        result["release"] = before["release"]
    progress = progressing(inputs)
    result["observedGeneration"] = observed.generation
    running = observed.generation if progress.done else before.get("runningGeneration")
    if running is not None:
        result["runningGeneration"] = running
    result["conditions"] = all_conditions(inputs, progress, before.get("conditions") or ())
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
    if resolved.exposure is not None and resolved.exposure.hostname:
        result |= {"publicURL": resolved.exposure.url, "hostname": resolved.exposure.hostname}
    if (costs := cost(resolved, pools)) is not None:
        result["cost"] = costs
    if default.precision:
        result["precision"], result["precisionReason"] = default.precision.name, default.precision.message
    else:  # the pool keeps its last pods, so their last reported precision still holds
        kept = ("precision", "precisionReason")
        result.update({name: inputs.observed.status[name] for name in kept if name in inputs.observed.status})
    return result


def followed_text(resolved: Resolved) -> str:
    """The spec that is followed, as it was stored; empty without one, or if it is too long."""
    body = resolved.observed.body
    if body is None or not resolved.followed:
        return ""
    return accepted_text(body) if resolved.refused else spec_text(body)


def schedule_fields(resolved: Resolved) -> dict[str, Any]:
    """Fields that the schedule determines."""
    result: dict[str, Any] = {}
    if resolved.window:
        result["activeWindow"] = resolved.window.window
    if resolved.tenant and resolved.tenant.spec.schedule:
        result["timeZoneDatabase"] = tz_database.VERSION
        result["preWarmSeconds"] = resolved.pre_warm_seconds
    if resolved.observed.waker is not None:
        result["waker"] = waker_fields(resolved, resolved.observed.waker)
    if change := resolved.next_transition:
        result["nextTransition"] = {
            "time": timestamp(change.at),
            "window": change.window,
            "minReplicas": change.bounds.min_replicas,
            "maxReplicas": change.bounds.max_replicas,
        }
    return result


def waker_fields(resolved: Resolved, waker: Waker) -> dict[str, Any]:
    """The field `status.waker`: everything that the waker knows of a tenant besides its pods."""
    schedule = resolved.tenant.spec.schedule if resolved.tenant else None
    result: dict[str, Any] = {"port": waker.port, "atZero": resolved.at_zero}
    if schedule is not None:
        result |= {
            "timeZone": schedule.time_zone,
            "wakeOnRequest": schedule.wake_on_request,
            "maxWaitSeconds": schedule.longest_wait_seconds,
        }
    if resolved.at_zero and (at := wakes_at(schedule, resolved.now)):
        result["wakesAt"] = timestamp(at)
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
    if expiry := urls_expire_at(inputs.observed, pool, inputs.resolved.now):
        result["downloadExpiryTime"] = timestamp(expiry)
    return {**result, "reason": failures[0].reason} if failures else result


def all_conditions(
    inputs: PolicyInput, progress: Progress, before: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Every condition, each with the time of its last change."""
    problems: dict[str, Problem | None] = {
        name: next((problem for policy in policies if (problem := policy(inputs))), None)
        for name, policies in POLICIES.items()
    }
    if not inputs.resolved.followed or inputs.resolved.redis is None:
        del problems[REDIS]
    if not inputs.resolved.followed:
        del problems[STORAGE]
    if not inputs.resolved.followed or not inputs.observed.calendars:
        del problems[CALENDARS]
    if not inputs.resolved.needs_keys or inputs.observed.keys_secret_exists is None:
        del problems[KEYS]
    if not inputs.resolved.followed or inputs.resolved.exposure is None:
        del problems[EXPOSED]
    problems["Ready"] = not_ready(inputs, progress)
    notes = {name: note(inputs, name) for name in problems}
    notes["Ready"] = ready_note(inputs, progress)
    problems[PROGRESSING] = progress.problem if progress.under_way else None
    notes[PROGRESSING] = progress.problem
    stall = stalled(inputs, progress)
    reconciling = None if progress.done or stall else progress.problem
    only_true = {RECONCILING: reconciling, STALLED: stall, SUSPENDED: suspended(inputs)}
    problems |= {name: problem for name, problem in only_true.items() if problem is not None}
    generation, now = inputs.observed.generation, inputs.resolved.now
    return conditions(problems, notes, before, generation, now, negative={PROGRESSING, *only_true})


def not_ready(inputs: PolicyInput, progress: Progress) -> Problem | None:
    """The first problem that concerns callers, else that of pods beside others that serve."""
    problem = next((problem for policy in decisive_policies(inputs) if (problem := policy(inputs))), None)
    if problem is not None or suspended(inputs) or scaled_by_schedule(inputs):
        return problem
    return some_pods_failing(inputs) or stuck(progress)


def decisive_policies(inputs: PolicyInput) -> Iterator[Policy]:
    """Policies of the summarized conditions that decide on Ready. A tenant without replicas has no pods to judge.

    A suspension is no problem: it is what the spec asks for, as a Deployment of no replicas is available. Nor is a
    schedule without replicas, or a pool that its HPA has scaled to zero, and starts on demand.
    """
    for name in SUMMARIZED:
        for policy in POLICIES[name]:
            if policy in (suspended, scaled_by_schedule) and policy(inputs):
                return
            if policy not in (*STILL_SERVING, scaled_to_zero):
                yield policy


def ready_note(inputs: PolicyInput, progress: Progress) -> Problem | None:
    """Reason why a tenant is ready that does not run, or does not run the present spec."""
    if problem := suspended(inputs) or scaled_by_schedule(inputs):
        return problem
    if progress.done:
        return scaled_to_zero(inputs)
    return Problem(progress.problem.reason, f"not every pod runs the present spec: {progress.problem.message}")


def killed_before(inputs: PolicyInput) -> Problem | None:
    """Containers that were killed for memory lately and serve again."""
    pods = (pod for name in pool_names(inputs) for pod in lookup.pods_of(inputs.observed, name))
    kills = [kill.problem for kill in past_kills(pods, inputs.resolved.now)]
    return Problem(kills[0].reason, "; ".join(each.message for each in kills)) if kills else None


def note(inputs: PolicyInput, name: str) -> Problem | None:
    """Reason and message of a condition that is True; None for the default reason without a message."""
    notes = inputs.resolved.notes
    if name == "Accepted" and notes:
        return Problem(notes[0].reason, "; ".join(each.message for each in notes))
    if name == "Available":
        return killed_before(inputs)
    if name == EXPOSED and inputs.resolved.exposure is not None:
        return Problem(
            AS_SPECIFIED, f"callers outside the cluster reach the endpoint at {inputs.resolved.exposure.url}"
        )
    if name == CALENDARS:
        return calendar_ends(inputs)
    if name == STORAGE and inputs.resolved.s3 is None:
        return Problem(
            "LocalFiles",
            "audio behind links is stored in files of the pod that synthesized it, and is lost with the pod:"
            " set spec.storage.s3 to keep it longer",
        )
    return None
