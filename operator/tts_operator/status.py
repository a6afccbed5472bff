"""What the operator reports: policies in order of precedence; the first that speaks names what a person must mend."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tts_operator.api import AuthMode
from tts_operator.live import Verdict
from tts_operator.manifest import Body, Ref
from tts_operator.names import POOL_LABEL
from tts_operator.observed import Observed
from tts_operator.outcome import Outcome
from tts_operator.pod_troubles import Trouble, conditions, troubles
from tts_operator.resolve import Pool, Resolved

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
    was, now = (_named(each.get("conditions") or (), "Ready") for each in (before, after))
    if (was.get("status"), was.get("reason")) != (now.get("status"), now.get("reason")):
        kind = "Normal" if now["status"] == "True" or now["reason"] in {"Starting", "Suspended"} else "Warning"
        message = now["message"] or "the endpoint answers"
        found.append(Event(kind, "Ready" if now["status"] == "True" else now["reason"], message))
    opened, closed = after.get("activeWindow"), before.get("activeWindow")
    if closed is not None and opened != closed:
        found.append(Event("Normal", "WindowChanged", f"window {opened} opens after {closed}"))
    return found


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
    return said


def pool_status(facts: Facts, pool: Pool) -> dict[str, Any]:
    """One Deployment."""
    live = deployment_of(facts, pool.name)
    found = troubles_of(facts, pool.name)
    before = {each["model"]: each for each in facts.observed.status.get("pools") or ()}.get(pool.model_name, {})
    said = {
        "model": pool.model_name,
        "role": pool.role,
        "precision": pool.precision.name if pool.precision else before.get("precision", ""),
        "min": pool.bounds.min_replicas,
        "max": pool.bounds.max_replicas,
        "desired": int(((live or {}).get("spec") or {}).get("replicas", 0)),
        "ready": ready_replicas(live),
    }
    return {**said, "reason": found[0].reason} if found else said


def all_conditions(facts: Facts, before: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every condition, each with the time of its last change."""
    verdicts: dict[str, Verdict | None] = {
        name: next((verdict for policy in policies if (verdict := policy(facts))), None)
        for name, policies in POLICIES.items()
    }
    verdicts["Ready"] = next((verdict for name in SUMMED if (verdict := verdicts[name])), None) or failing(facts)
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
    """A model is missing, not allowed here, or not supported."""
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


def suspended(facts: Facts) -> Verdict | None:
    """Nobody is to answer."""
    tenant = facts.resolved.tenant
    if tenant is None or not tenant.spec.suspend:
        return None
    return Verdict("Suspended", "spec.suspend is true: set it to false to wake the endpoint")


def keys_missing(facts: Facts) -> Verdict | None:
    """Pods that would answer turn every caller away."""
    tenant = facts.resolved.tenant
    if tenant is None or facts.observed.keys_secret_exists is not False:
        return None
    auth = tenant.spec.auth
    if auth and AuthMode.API_KEY not in auth.modes:
        return None
    name = auth.api_keys_secret_ref.name if auth and auth.api_keys_secret_ref else f"{tenant.metadata.name}-keys"
    return Verdict(
        "KeysNotFound", f"there is no Secret {name}: `kubectl tts keygen` prints a key and the Secret for it"
    )


def nobody_answers(facts: Facts) -> Verdict | None:
    """A pool without a ready pod, and why."""
    for name in pool_names(facts):
        live = deployment_of(facts, name)
        if ready_replicas(live) > 0:
            continue
        found = troubles_of(facts, name)
        if found:
            return Verdict(found[0].reason, "; ".join(trouble.message for trouble in found))
        wanted = int(((live or {}).get("spec") or {}).get("replicas", 0))
        return Verdict("Starting", f"0 of {wanted} replicas of {name} answer yet")
    return None


def failing(facts: Facts) -> Verdict | None:
    """Some pods answer, others cannot run: a rollout that is stuck, or a scale-up that finds no room."""
    found = [trouble for name in pool_names(facts) for trouble in troubles_of(facts, name)]
    if not found:
        return None
    return Verdict(found[0].reason, "; ".join(trouble.message for trouble in found) + "; the other pods answer")


def scaling_blind(facts: Facts) -> Verdict | None:
    """An HPA with room to move cannot read its metric; it goes on holding its bounds."""
    for pool in facts.resolved.pools:
        if pool.bounds.min_replicas == pool.bounds.max_replicas:
            continue
        ref = Ref("autoscaling/v2", "HorizontalPodAutoscaler", facts.resolved.key.namespace, pool.name)
        active = _named(conditions(facts.observed.children.get(ref)), "ScalingActive")
        if active.get("status") == "False":
            return Verdict(active.get("reason", "Unknown"), f"{ref}: {active.get('message', '')}")
    return None


# In each list the order is the precedence: the first cause is the one that people read.
POLICIES: Mapping[str, tuple[Policy, ...]] = {
    "Accepted": (refused,),
    "ModelsResolved": (model_unusable,),
    "Programmed": (write_failed,),
    "Available": (suspended, nobody_answers, keys_missing),
    "ScalingActive": (scaling_blind,),
}
SUMMED = ("Accepted", "ModelsResolved", "Programmed", "Available")
"""What Ready sums up. ScalingActive only warns: an HPA without metrics still holds its bounds."""


def pool_names(facts: Facts) -> list[str]:
    """The pools that there should be; of a refused spec those that there are."""
    if not facts.resolved.refused:
        return [pool.name for pool in facts.resolved.pools]
    return sorted(ref.name for ref in facts.observed.children if ref.kind == "Deployment")


def deployment_of(facts: Facts, pool: str) -> Body | None:
    """The pool's Deployment as observed."""
    return facts.observed.children.get(Ref("apps/v1", "Deployment", facts.resolved.key.namespace, pool))


def troubles_of(facts: Facts, pool: str) -> list[Trouble]:
    """What keeps the pool's pods from running."""
    pods = [pod for pod in facts.observed.pods if (pod["metadata"].get("labels") or {}).get(POOL_LABEL) == pool]
    return troubles(deployment_of(facts, pool), pods)


def ready_replicas(deployment: Body | None) -> int:
    """Pods that answer."""
    return int(((deployment or {}).get("status") or {}).get("readyReplicas") or 0)


def stamp(instant: datetime) -> str:
    """RFC 3339 in UTC, to the second, as Kubernetes writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _named(found: Iterable[Mapping[str, Any]], type_: str) -> Mapping[str, Any]:
    return next((each for each in found if each["type"] == type_), {})
