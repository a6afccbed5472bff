"""What the operator reports of a tenant: its status, whole, and the events that tell of its changes."""

from collections.abc import Iterable, Mapping
from typing import Any

from tts_operator.objects import fields
from tts_operator.objects.problem import Verdict
from tts_operator.plan.outcome import Outcome
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.rollout.policy import HALTED, WAITING
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed
from tts_operator.status.conditions import conditions, stamp
from tts_operator.status.policies import POLICIES, REDIS, STORAGE, SUMMED, Facts, failing, troubles_of


def status(resolved: Resolved, observed: Observed, outcome: Outcome) -> dict[str, Any]:
    """The whole status. A refused spec keeps what was said of its last good children."""
    facts = Facts(resolved, observed, outcome)
    before = dict(observed.status)
    said = before if resolved.refused else described(facts)
    said["observedGeneration"] = observed.generation
    said["conditions"] = all_conditions(facts, before.get("conditions") or ())
    return said


def described(facts: Facts) -> dict[str, Any]:
    """Everything but conditions."""
    resolved = facts.resolved
    pools = [pool_status(facts, pool) for pool in resolved.pools]
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
        said.update({name: facts.observed.status[name] for name in kept if name in facts.observed.status})
    return said


def pool_status(facts: Facts, pool: Pool) -> dict[str, Any]:
    """One Deployment."""
    deployment = lookup.deployment(facts.observed, pool.name)
    found = troubles_of(facts, pool.name)
    before = {each["model"]: each for each in facts.observed.status.get("pools") or ()}.get(pool.model_name, {})
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


def all_conditions(facts: Facts, before: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every condition, each with the time of its last change."""
    verdicts: dict[str, Verdict | None] = {
        name: next((verdict for policy in policies if (verdict := policy(facts))), None)
        for name, policies in POLICIES.items()
    }
    if facts.resolved.refused or facts.resolved.redis is None:
        del verdicts[REDIS]
    if facts.resolved.refused:
        del verdicts[STORAGE]
    summed = (verdict for name in SUMMED if (verdict := verdicts[name]) and verdict.reason not in {WAITING, HALTED})
    verdicts["Ready"] = next(summed, None) or failing(facts)
    notes = {name: noted(facts, name) for name in verdicts}
    return conditions(verdicts, notes, before, facts.observed.generation, facts.resolved.now)


def noted(facts: Facts, name: str) -> Verdict | None:
    """What a condition that holds still has to tell."""
    notes = facts.resolved.notes
    if name == "Accepted" and notes:
        return Verdict(notes[0].reason, "; ".join(note.message for note in notes))
    if name == STORAGE and facts.resolved.s3 is None:
        return Verdict("LocalFiles", "audio that links lead to is in files of the pod that made it, and goes with it")
    return None
