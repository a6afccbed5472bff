"""What the operator reports: policies in order of precedence; the first that speaks names what a person must mend."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tts_operator import live
from tts_operator.live import Verdict
from tts_operator.observed import Observed
from tts_operator.outcome import Outcome
from tts_operator.pod_troubles import Trouble, troubles
from tts_operator.resolved import Pool, Resolved
from tts_operator.rollout_budget import HALTED, WAITING

LONGEST_MESSAGE = 2000
HOLDS = "AsSpecified"


class Event(NamedTuple):
    """What `kubectl describe` shows below the tenant."""

    type: str
    """Normal or Warning."""
    reason: str
    message: str


class Facts(NamedTuple):
    """What every policy judges from."""

    resolved: Resolved
    observed: Observed
    outcome: Outcome


Policy = Callable[[Facts], Verdict | None]


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
        kind = "Normal" if now["status"] == "True" or now["reason"] in {"Starting", "Suspended"} else "Warning"
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
    summed = (verdict for name in SUMMED if (verdict := verdicts[name]) and verdict.reason not in {WAITING, HALTED})
    verdicts["Ready"] = next(summed, None) or failing(facts)
    known = {each["type"]: each for each in before}
    return [condition(facts, name, verdict, known.get(name, {})) for name, verdict in verdicts.items()]


def condition(facts: Facts, name: str, verdict: Verdict | None, before: Mapping[str, Any]) -> dict[str, Any]:
    """True where no policy spoke."""
    said = "False" if verdict else "True"
    reason, message = verdict or noted(facts, name)
    same = before.get("status") == said
    return {
        "type": name,
        "status": said,
        "observedGeneration": facts.observed.generation,
        "lastTransitionTime": before["lastTransitionTime"] if same else stamp(facts.resolved.now),
        "reason": reason,
        "message": message[:LONGEST_MESSAGE],
    }


def noted(facts: Facts, name: str) -> Verdict:
    """What a condition that holds still has to tell."""
    notes = facts.resolved.notes
    if name == "Accepted" and notes:
        return Verdict(notes[0].reason, "; ".join(note.message for note in notes))
    return Verdict(HOLDS, "")


# The policies. Each returns the cause that a person must mend, or None where it has nothing to say.


def refused(facts: Facts) -> Verdict | None:
    """The spec as a whole makes no sense."""
    problem = facts.resolved.refused
    return Verdict(problem.reason, problem.message) if problem else None


def model_unusable(facts: Facts) -> Verdict | None:
    """A model is missing, not allowed here, or not supported; or a voice is named that no model has."""
    problems = facts.resolved.models
    if not problems:
        return None
    return Verdict(problems[0].reason, "; ".join(problem.message for problem in problems) + "; what runs goes on")


def write_failed(facts: Facts) -> Verdict | None:
    """The API server would not take a child."""
    failures = facts.outcome.failures
    if not failures:
        return None
    first = failures[min(failures)]
    return Verdict(first.reason, "; ".join(f"{ref}: {failures[ref].message}" for ref in sorted(failures)))


def in_turn(facts: Facts) -> Verdict | None:
    """Pods that are to change with those of other tenants, and have to wait. What runs answers, so `Ready` holds."""
    waits = {pool.name: pool.waits for pool in facts.resolved.pools if pool.waits}
    first = next((verdict for verdict in waits.values() if verdict.reason == HALTED), next(iter(waits.values()), None))
    if first is None:
        return None
    return Verdict(first.reason, f"{', '.join(sorted(waits))}: the last good pods go on; {first.message}")


def suspended(facts: Facts) -> Verdict | None:
    """Nobody is to answer. Where the spec as a whole is not followed, nor is what it says of this: pods go on."""
    if not facts.resolved.suspended or (facts.resolved.refused and runs(facts.observed)):
        return None
    return Verdict("Suspended", "spec.suspend is true: set it to false to wake the endpoint")


def runs(observed: Observed) -> bool:
    """Whether any pool has pods."""
    return any(live.replicas(found) > 0 for ref, found in observed.children.items() if ref.kind == "Deployment")


def keys_missing(facts: Facts) -> Verdict | None:
    """Pods that would answer turn every caller away."""
    if not facts.resolved.lacks_keys:
        return None
    message = (
        f"there is no Secret {facts.resolved.keys_secret}: `kubectl tts keygen` prints a key and the Secret for it"
    )
    return Verdict("KeysNotFound", message)


def nobody_answers(facts: Facts) -> Verdict | None:
    """A pool without a pod that callers reach, and why. One that only stands by for others is not missed by callers."""
    idle = {pool.name for pool in facts.resolved.pools if not pool.offered and pool.name != facts.resolved.entry}
    for name in pool_names(facts):
        if name in idle or answered(facts, name):
            continue
        found = troubles_of(facts, name)
        meanwhile = spoken_meanwhile(facts, name)
        if found:
            return Verdict(found[0].reason, "; ".join(trouble.message for trouble in found) + meanwhile)
        return Verdict("Starting", f"no pod of {name} answers yet{meanwhile}")
    return None


def answered(facts: Facts, pool: str) -> bool:
    """Whether callers reach a pod of the pool."""
    deployment = live.deployment(facts.observed, pool)
    return deployment is not None and live.count(deployment, "availableReplicas") > 0


def spoken_meanwhile(facts: Facts, pool: str) -> str:
    """Who speaks for a pool that is away, as the end of a sentence; empty for the entry, without which nobody does."""
    pools = {each.model_name: each for each in facts.resolved.pools}
    here = next((each for each in pools.values() if each.name == pool), None)
    if here is None or pool == facts.resolved.entry:
        return ""
    for _ in pools:
        if here is None or here.fallback is None:
            return ""
        here = pools.get(here.fallback)
        if here is not None and answered(facts, here.name):
            return f"; its fallback {here.model_name} speaks meanwhile"
    return ""


def failing(facts: Facts) -> Verdict | None:
    """Some pods answer, others cannot run: a rollout that is stuck, or a scale-up that finds no room."""
    waiting = {pool.name for pool in facts.resolved.pools if pool.rollout.no_room}
    for name in pool_names(facts):
        if found := troubles_of(facts, name):
            why = "; ".join(trouble.message for trouble in found)
            if name in waiting:
                advice = "the old pods go on; make room, or set spec.rollout.strategy to Replace"
                return Verdict("NoRoomToSurge", f"{why}; {advice}")
            return Verdict(found[0].reason, f"{why}; the other pods answer")
    return None


def scaling_blind(facts: Facts) -> Verdict | None:
    """An HPA with room to move cannot read its metric; it goes on holding its bounds."""
    for pool in facts.resolved.pools:
        if pool.bounds.min_replicas == pool.bounds.max_replicas and not pool.held:
            continue
        active = live.condition(live.autoscaler(facts.observed, pool.name), "ScalingActive")
        if active is None or active.get("status") != "False" or active.get("reason") == "ScalingDisabled":
            continue
        held = f"; max is held at min {pool.bounds.min_replicas} until it can" if pool.held else ""
        message = f"hpa/{pool.name} cannot read its metric: {active.get('message', '')}{held}"
        return Verdict(str(active.get("reason") or "Unknown"), message)
    return None


def redis_unusable(facts: Facts) -> Verdict | None:
    """The replicas cannot count together; each gives out its part of the limits meanwhile."""
    redis = facts.resolved.redis
    problem = (redis.problem if redis else None) or facts.outcome.redis
    return Verdict(problem.reason, problem.message) if problem else None


REDIS = "RedisConfigured"
"""Only of a tenant that has a Redis, its own or the operator's."""

# In each list the order is the precedence: the first cause is the one that people read.
POLICIES: Mapping[str, tuple[Policy, ...]] = {
    "Accepted": (refused,),
    "ModelsResolved": (model_unusable,),
    "Programmed": (write_failed, in_turn),
    "Available": (suspended, nobody_answers, keys_missing),
    "ScalingActive": (scaling_blind,),
    REDIS: (redis_unusable,),
}
SUMMED = ("Accepted", "ModelsResolved", "Programmed", "Available")
"""What Ready sums up. That a change waits for its turn does not count: the pods that there are answer, and the tenant
has nothing to mend."""
WARNINGS = ("ScalingActive", REDIS)
"""They only warn: an HPA without metrics still holds its bounds, and speech needs no Redis."""


def pool_names(facts: Facts) -> list[str]:
    """The pools that there should be; of a refused spec those that there are."""
    if not facts.resolved.refused:
        return [pool.name for pool in facts.resolved.pools]
    return sorted(ref.name for ref in facts.observed.children if ref.kind == "Deployment")


def troubles_of(facts: Facts, pool: str) -> list[Trouble]:
    """What keeps the pool's pods from running."""
    return troubles(live.deployment(facts.observed, pool), live.pods_of(facts.observed, pool))


def stamp(instant: datetime) -> str:
    """RFC 3339 in UTC, to the second, as Kubernetes writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _named(found: Iterable[Mapping[str, Any]], type_: str) -> Mapping[str, Any]:
    return next((each for each in found if each["type"] == type_), {})
