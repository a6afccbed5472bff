"""Policies in order of precedence: of what may be wrong with a tenant, the first names what a person must mend."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from tts_operator.objects import fields
from tts_operator.objects.names import keys_secret_name
from tts_operator.objects.problem import Problem
from tts_operator.plan.outcome import Outcome
from tts_operator.resolve.resolved import Resolved
from tts_operator.rollout.policy import HALTED
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed
from tts_operator.snapshot.pod_failures import pod_failures


class PolicyInput(NamedTuple):
    """What every policy judges from."""

    resolved: Resolved
    observed: Observed
    outcome: Outcome


Policy = Callable[[PolicyInput], Problem | None]
"""The cause that a person must mend, or None where it has nothing to say."""


def refused(given: PolicyInput) -> Problem | None:
    """The spec as a whole makes no sense."""
    problem = given.resolved.refused
    return Problem(problem.reason, problem.message) if problem else None


def model_unusable(given: PolicyInput) -> Problem | None:
    """A model is missing, not allowed here, or not supported; or a voice is named that no model has."""
    problems = given.resolved.models
    if not problems:
        return None
    goes_on = ("what runs goes on",) if runs(given.observed) else ()
    return Problem(problems[0].reason, "; ".join((*(problem.message for problem in problems), *goes_on)))


def write_failed(given: PolicyInput) -> Problem | None:
    """The API server would not take a child."""
    failures = given.outcome.failures
    if not failures:
        return None
    alike: dict[str, list[str]] = {}
    for ref in sorted(failures):
        alike.setdefault(failures[ref].message, []).append(str(ref))
    message = "; ".join(f"{', '.join(refs)}: {why}" for why, refs in alike.items())
    return Problem(failures[min(failures)].reason, message)


def throttled(given: PolicyInput) -> Problem | None:
    """Pods that are to change with those of other tenants, and have to wait. What runs answers, so `Ready` holds."""
    waits = {pool.name: pool.waits for pool in given.resolved.pools if pool.waits}
    first = next((problem for problem in waits.values() if problem.reason == HALTED), next(iter(waits.values()), None))
    if first is None:
        return None
    return Problem(first.reason, f"{', '.join(sorted(waits))}: the last good pods go on; {first.message}")


def suspended(given: PolicyInput) -> Problem | None:
    """Nobody is to answer. Where the spec as a whole is not followed, nor is what it says of this: pods go on."""
    if not given.resolved.suspended or (given.resolved.refused and runs(given.observed)):
        return None
    return Problem("Suspended", "spec.suspend is true: set it to false to wake the endpoint")


def runs(observed: Observed) -> bool:
    """Whether any pool has pods."""
    return any(fields.replicas(found) > 0 for ref, found in observed.children.items() if ref.kind == "Deployment")


def never_accepted(given: PolicyInput) -> Problem | None:
    """A spec that was refused from the start has nothing that could go on."""
    if not given.resolved.refused or pool_names(given):
        return None
    return Problem("NeverAccepted", "nothing was made: this tenant has not had a spec yet that is accepted")


def pods_fail(given: PolicyInput) -> Problem | None:
    """A pool without a pod that callers reach, because its pods cannot run."""
    for name in unanswered(given):
        if found := pod_failures_of(given, name):
            message = "; ".join(failure.message for failure in found) + spoken_meanwhile(given, name)
            return Problem(found[0].reason, message)
    return None


def keys_missing(given: PolicyInput) -> Problem | None:
    """Pods that answer, or soon will, turn every caller away."""
    if not given.resolved.lacks_keys:
        return None
    key, name = given.resolved.key, given.resolved.keys_secret
    by_default = name == keys_secret_name(key.name)
    who = "" if by_default else ", which spec.auth.apiKeysSecretRef names"
    which = f"--tenant {key.name}" if by_default else f"--secret {name}"
    command = f"kubectl tts keygen {which} -n {key.namespace} | kubectl apply --server-side -f -"
    return Problem(
        "KeysNotFound", f"there is no Secret {name} in namespace {key.namespace}{who}: make it with `{command}`"
    )


def starting(given: PolicyInput) -> Problem | None:
    """A pool without a pod that callers reach, and nothing is known to be wrong with it."""
    for name in unanswered(given):
        return Problem("Starting", f"no pod of {name} answers yet{spoken_meanwhile(given, name)}")
    return None


def unanswered(given: PolicyInput) -> Iterator[str]:
    """Pools that callers do not reach. One that only stands by for others is not missed by them."""
    idle = {pool.name for pool in given.resolved.pools if not pool.offered and pool.name != given.resolved.entry}
    return (name for name in pool_names(given) if name not in idle and not answered(given, name))


def answered(given: PolicyInput, pool: str) -> bool:
    """Whether callers reach a pod of the pool."""
    deployment = lookup.deployment(given.observed, pool)
    return deployment is not None and fields.count(deployment, "availableReplicas") > 0


def spoken_meanwhile(given: PolicyInput, pool: str) -> str:
    """Who speaks for a pool that is away, as the end of a sentence; empty for the entry, without which nobody does."""
    pools = {each.model_name: each for each in given.resolved.pools}
    here = next((each for each in pools.values() if each.name == pool), None)
    if here is None or pool == given.resolved.entry:
        return ""
    for _ in pools:
        if here is None or here.fallback is None:
            return ""
        here = pools.get(here.fallback)
        if here is not None and answered(given, here.name):
            return f"; its fallback {here.model_name} speaks meanwhile"
    return ""


def failing(given: PolicyInput) -> Problem | None:
    """Some pods answer, others cannot run: a rollout that is stuck, or a scale-up that finds no room."""
    waiting = {pool.name for pool in given.resolved.pools if pool.rollout.no_room}
    for name in pool_names(given):
        if found := pod_failures_of(given, name):
            why = "; ".join(failure.message for failure in found)
            if name in waiting:
                advice = "the old pods go on; make room, or set spec.rollout.strategy to Replace"
                return Problem("NoRoomToSurge", f"{why}; {advice}")
            return Problem(found[0].reason, f"{why}; the other pods answer")
    return None


def scaling_blind(given: PolicyInput) -> Problem | None:
    """An HPA with room to move cannot read its metric; it goes on holding its bounds."""
    for pool in given.resolved.pools:
        if pool.bounds.min_replicas == pool.bounds.max_replicas and not pool.pinned:
            continue
        active = fields.condition(lookup.autoscaler(given.observed, pool.name), "ScalingActive")
        if active is None or active.get("status") != "False" or active.get("reason") == "ScalingDisabled":
            continue
        pinned = f"; max is held at min {pool.bounds.min_replicas} until it can" if pool.pinned else ""
        message = f"hpa/{pool.name} cannot read its metric: {active.get('message', '')}{pinned}"
        return Problem(str(active.get("reason") or "Unknown"), message)
    return None


def redis_unusable(given: PolicyInput) -> Problem | None:
    """The replicas cannot count together; each gives out its part of the limits meanwhile."""
    redis = given.resolved.redis
    problem = (redis.problem if redis else None) or given.outcome.redis
    return Problem(problem.reason, problem.message) if problem else None


def audio_not_stored(given: PolicyInput) -> Problem | None:
    """There is an object store, and no way to write to it; audio is in the answers themselves meanwhile."""
    problem = given.observed.stores.s3_problem
    return Problem(problem.reason, problem.message) if problem else None


REDIS = "RedisConfigured"
"""Only of a tenant that has a Redis, its own or the operator's."""
STORAGE = "StorageConfigured"

# In each list the order is the precedence: the first cause is the one that people read.
POLICIES: Mapping[str, tuple[Policy, ...]] = {
    "Accepted": (refused,),
    "ModelsResolved": (model_unusable,),
    "Programmed": (write_failed, throttled),
    "Available": (never_accepted, suspended, pods_fail, keys_missing, starting),
    "ScalingActive": (scaling_blind,),
    REDIS: (redis_unusable,),
    STORAGE: (audio_not_stored,),
}
SUMMED = ("Accepted", "ModelsResolved", "Programmed", "Available")
"""What Ready sums up. That a change waits for its turn does not count: the pods that there are answer, and the tenant
has nothing to mend."""
WARNINGS = ("ScalingActive", REDIS, STORAGE)
"""They only warn: an HPA without metrics still holds its bounds, and speech needs neither Redis nor an object store."""


def pool_names(given: PolicyInput) -> list[str]:
    """The pools that there should be; of a refused spec those that there are."""
    if not given.resolved.refused:
        return [pool.name for pool in given.resolved.pools]
    return sorted(ref.name for ref in given.observed.children if ref.kind == "Deployment")


def pod_failures_of(given: PolicyInput, pool: str) -> list[Problem]:
    """What keeps the pool's pods from running."""
    return pod_failures(lookup.deployment(given.observed, pool), lookup.pods_of(given.observed, pool))
