"""What the operator reports of a tenant: its status, whole, and the events that tell of its changes."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tts_operator import live
from tts_operator.live import Verdict
from tts_operator.observed import Observed
from tts_operator.outcome import Outcome
from tts_operator.policies import POLICIES, REDIS, STORAGE, SUMMED, WARNINGS, Facts, failing, troubles_of
from tts_operator.resolved import Pool, Resolved
from tts_operator.rollout_budget import HALTED, WAITING

LONGEST_MESSAGE = 2000
HOLDS = "AsSpecified"
PASSING = frozenset({"Starting", "Suspended", "BeingCollected"})
"""Reasons not to be ready that nobody has to mend: their events are no warnings."""


class Event(NamedTuple):
    """What `kubectl describe` shows below the tenant."""

    type: str
    """Normal or Warning."""
    reason: str
    message: str


def status(resolved: Resolved, observed: Observed, outcome: Outcome) -> dict[str, Any]:
    """The whole status. A refused spec keeps what was said of its last good children."""
    facts = Facts(resolved, observed, outcome)
    before = dict(observed.status)
    said = before if resolved.refused else described(facts)
    said["observedGeneration"] = observed.generation
    said["conditions"] = all_conditions(facts, before.get("conditions") or ())
    return said


def events(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Event]:
    """What changed that people should see."""
    found = []
    conditions_before = before.get("conditions") or ()
    was, now = _named(conditions_before, "Ready"), _named(after.get("conditions") or (), "Ready")
    if (was.get("status"), was.get("reason")) != (now.get("status"), now.get("reason")):
        kind = "Normal" if now["status"] == "True" or now["reason"] in PASSING else "Warning"
        message = now["message"] or "the endpoint answers"
        found.append(Event(kind, "Ready" if now["status"] == "True" else now["reason"], message))
    opened, closed = after.get("activeWindow"), before.get("activeWindow")
    if closed is not None and opened != closed:
        found.append(Event("Normal", "WindowChanged", f"window {opened} opens after {closed}{_bounds(after)}"))
    for warning in WARNINGS:
        said = _named(after.get("conditions") or (), warning)
        if said.get("status") == "False" and said["reason"] != _named(conditions_before, warning).get("reason"):
            found.append(Event("Warning", said["reason"], said["message"]))
    return found


def _bounds(said: Mapping[str, Any]) -> str:
    entry = next(iter(said.get("pools") or ()), None)
    return f": {entry['min']} to {entry['max']} replicas of {entry['model']}" if entry else ""


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
    deployment = live.deployment(facts.observed, pool.name)
    found = troubles_of(facts, pool.name)
    before = {each["model"]: each for each in facts.observed.status.get("pools") or ()}.get(pool.model_name, {})
    said = {
        "model": pool.model_name,
        "role": pool.role,
        "precision": pool.precision.name if pool.precision else before.get("precision", ""),
        "min": pool.bounds.min_replicas,
        "max": pool.bounds.max_replicas,
        "desired": live.replicas(deployment) if deployment else 0,
        "ready": live.count(deployment, "readyReplicas") if deployment else 0,
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


def conditions(
    verdicts: Mapping[str, Verdict | None],
    notes: Mapping[str, Verdict | None],
    before: Iterable[Mapping[str, Any]],
    generation: int,
    now: datetime,
) -> list[dict[str, Any]]:
    """A condition of each type: False for its verdict's reason, True where there is none, with what is noted of it."""
    known = {each["type"]: each for each in before}

    def condition(type_: str, verdict: Verdict | None) -> dict[str, Any]:
        said = "False" if verdict else "True"
        reason, message = verdict or notes.get(type_) or Verdict(HOLDS, "")
        same = known.get(type_, {}).get("status") == said
        return {
            "type": type_,
            "status": said,
            "observedGeneration": generation,
            "lastTransitionTime": known[type_]["lastTransitionTime"] if same else stamp(now),
            "reason": reason,
            "message": message[:LONGEST_MESSAGE],
        }

    return [condition(type_, verdict) for type_, verdict in verdicts.items()]


def noted(facts: Facts, name: str) -> Verdict | None:
    """What a condition that holds still has to tell."""
    notes = facts.resolved.notes
    if name == "Accepted" and notes:
        return Verdict(notes[0].reason, "; ".join(note.message for note in notes))
    if name == STORAGE and facts.resolved.s3 is None:
        return Verdict("LocalFiles", "audio that links lead to is in files of the pod that made it, and goes with it")
    return None


def stamp(instant: datetime) -> str:
    """RFC 3339 in UTC, to the second, as Kubernetes writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _named(found: Iterable[Mapping[str, Any]], type_: str) -> Mapping[str, Any]:
    return next((each for each in found if each["type"] == type_), {})
