"""Policies that judge a tenant, in order of precedence: the first problem is what a person must fix first."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from tts_operator.calendar.zero import wakes_at
from tts_operator.objects import fields
from tts_operator.objects.field_managers import field_managers, managers_text
from tts_operator.objects.manifest import Body
from tts_operator.objects.ownership import controller_of
from tts_operator.objects.problem import Problem
from tts_operator.plan.outcome import Interference, Outcome
from tts_operator.resolve.resolved import Resolved
from tts_operator.rollout.situation import HALTED, PAUSED, WAITING
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed
from tts_operator.snapshot.pod_failures import pod_failures
from tts_operator.status.api_keys import keys_not_found, keys_unusable
from tts_operator.status.conditions import timestamp


class PolicyInput(NamedTuple):
    """Input of every policy."""

    resolved: Resolved
    observed: Observed
    outcome: Outcome


Policy = Callable[[PolicyInput], Problem | None]
"""Returns the problem that a person must fix, or None."""


def refused(inputs: PolicyInput) -> Problem | None:
    """The spec as a whole cannot be followed."""
    problem = inputs.resolved.refused
    if problem is None or not accepted_before(inputs):
        return problem
    if not inputs.resolved.followed:
        return Problem(problem.reason, f"{problem.message}; until then everything stays as it is")
    changes = [each.message for each in inputs.resolved.notes if each.message not in problem.message]
    but = f", except that {'; '.join(changes)}" if changes else ""
    return Problem(problem.reason, f"{problem.message}; until then the last accepted spec applies{but}")


def model_unusable(inputs: PolicyInput) -> Problem | None:
    """A model is missing, not allowed here, or not supported; or a named voice does not exist."""
    problems = inputs.resolved.model_problems
    if not problems:
        return None
    effect = ("running pods are not affected",) if has_replicas(inputs.observed) else ()
    return Problem(problems[0].reason, "; ".join((*(problem.message for problem in problems), *effect)))


def write_failed(inputs: PolicyInput) -> Problem | None:
    """The API server refused the write of a child."""
    failures = inputs.outcome.failures
    if not failures:
        return None
    refs_by_message: dict[str, list[str]] = {}
    for ref in sorted(failures):
        refs_by_message.setdefault(failures[ref].message, []).append(str(ref))
    message = "; ".join(f"{', '.join(refs)}: {why}" for why, refs in refs_by_message.items())
    return Problem(failures[min(failures)].reason, message)


def interfered(inputs: PolicyInput) -> Problem | None:
    """Another program changes or holds a child. The endpoint works, so `Ready` stays True."""
    return joined(each for each in inputs.outcome.interference if each.problem.reason != REPLICAS_CONTESTED)


def replicas_contested(inputs: PolicyInput) -> Problem | None:
    """Another program scales a pool against its HPA."""
    return joined(each for each in inputs.outcome.interference if each.problem.reason == REPLICAS_CONTESTED)


def joined(found: Iterable[Interference]) -> Problem | None:
    """One problem with the reason of the first, and the messages of all."""
    every = list(found)
    return Problem(every[0].problem.reason, "; ".join(each.message for each in every)) if every else None


def second_autoscaler(inputs: PolicyInput) -> Problem | None:
    """Another HPA scales a pool: replicas go back and forth between the bounds of both."""
    for name in pool_names(inputs):
        rivals = lookup.rival_autoscalers(inputs.observed, name)
        if rivals:
            named = " and ".join(map(autoscaler_text, rivals))
            return Problem(
                "SecondAutoscaler",
                f"{named} scales deploy/{name} too, and replicas go back and forth between two HPAs: delete it, or"
                " change its spec.scaleTargetRef. The bounds of the pool are those of spec.schedule of the TTSTenant",
            )
    return None


def autoscaler_text(live: Body) -> str:
    """An HPA of somebody else: its name, its controller, and its field managers."""
    owner, managers = controller_of(live), field_managers(live, ("spec", "scaleTargetRef"))
    origin = [f"of {owner.get('kind')} {owner.get('name')}"] if owner else []
    origin += [managers_text(managers)] if managers else []
    return f"hpa/{live['metadata']['name']}" + (f" ({', '.join(origin)})" if origin else "")


def throttled(inputs: PolicyInput) -> Problem | None:
    """A rollout is queued behind other tenants', or paused. The previous pods keep serving, so `Ready` stays True."""
    problems = {pool.name: pool.throttled for pool in inputs.resolved.pools if pool.throttled}
    first = min(problems.values(), key=lambda problem: THROTTLED.index(problem.reason), default=None)
    if first is None:
        return None
    return Problem(first.reason, f"{', '.join(sorted(problems))}: the previous pods keep serving. {first.message}")


def suspended(inputs: PolicyInput) -> Problem | None:
    """`spec.suspend` is set. Without a spec that is followed it has no effect, and running pods keep serving."""
    if not inputs.resolved.suspended or (not inputs.resolved.followed and has_replicas(inputs.observed)):
        return None
    return Problem("Suspended", "spec.suspend is true: set it to false to start the endpoint")


def has_replicas(observed: Observed) -> bool:
    """Whether any pool has pods."""
    return any(fields.replicas(child) > 0 for ref, child in observed.children.items() if ref.kind == "Deployment")


def never_accepted(inputs: PolicyInput) -> Problem | None:
    """The spec is refused and no earlier one was accepted: the tenant has no pools."""
    if not inputs.resolved.refused or accepted_before(inputs):
        return None
    return Problem("NeverAccepted", "no resources created: the spec has never been accepted, see condition Accepted")


def accepted_before(inputs: PolicyInput) -> bool:
    """Whether this spec or an earlier one was accepted: one that was suspended left a status and no Deployments."""
    return bool(inputs.resolved.followed or pool_names(inputs) or inputs.observed.status.get("pools"))


def pool_failing(inputs: PolicyInput) -> Problem | None:
    """A pool has no available pod, because its pods cannot run."""
    for name in unavailable_pools(inputs):
        if failures := pod_failures_of(inputs, name):
            message = "; ".join(failure.message for failure in failures) + serving_fallback(inputs, name)
            return Problem(failures[0].reason, message)
    return None


def keys_missing(inputs: PolicyInput) -> Problem | None:
    """There is no Secret with API keys."""
    resolved = inputs.resolved
    return keys_not_found(resolved.key, resolved.keys_secret) if resolved.lacks_keys else None


def some_keys_unusable(inputs: PolicyInput) -> Problem | None:
    """The Secret with API keys has entries that pods ignore, or none."""
    resolved, observed = inputs.resolved, inputs.observed
    if not resolved.needs_keys or not observed.keys_secret_exists:
        return None
    return keys_unusable(resolved.key, resolved.keys_secret, observed.key_entries)


def no_key_usable(inputs: PolicyInput) -> Problem | None:
    """Pods reject every request: no entry of the Secret with API keys is usable."""
    return None if inputs.observed.key_entries.usable else some_keys_unusable(inputs)


def scaled_to_zero(inputs: PolicyInput) -> Problem | None:
    """A pool's HPA has scaled it to zero by its metric."""
    for name in unavailable_pools(inputs):
        if lookup.scaled_to_zero(inputs.observed, name):
            return Problem(SCALED_TO_ZERO, f"hpa/{name} has scaled the pool to zero and starts it again on demand")
    return None


def at_zero(inputs: PolicyInput) -> bool:
    """Whether the schedule has no replicas now. A suspension takes precedence: it lasts longer."""
    return inputs.resolved.at_zero and not inputs.resolved.suspended


def scaled_by_schedule(inputs: PolicyInput) -> Problem | None:
    """The schedule has no replicas now. The tenant is ready all the same: that is what its spec asks for."""
    return Problem(SCALED_TO_ZERO, zero_message(inputs.resolved)) if at_zero(inputs) else None


def zero_message(resolved: Resolved) -> str:
    """Sentence that says by which window the endpoint has no replicas, until when, and what answers meanwhile."""
    schedule = resolved.tenant.spec.schedule if resolved.tenant else None
    window = resolved.window.window if resolved.window else ""
    at = wakes_at(schedule, resolved.now)
    until = f"until {timestamp(at)}" if at else "and no later window starts any"
    if not resolved.has_waker:
        answer = "requests find no endpoint: the operator runs without a waker, or no pod of it is ready"
    elif schedule is not None and schedule.wake_on_request:
        answer = f"a request starts one, and waits for it for at most {schedule.longest_wait_seconds} s"
    else:
        answer = "requests are answered with status 503; spec.schedule.wakeOnRequest: true lets a request start one"
    return f"the endpoint has no replicas by window {window} of spec.schedule {until}; {answer}"


def starting(inputs: PolicyInput) -> Problem | None:
    """A pool has no available pod yet, and no failure is known."""
    for name in unavailable_pools(inputs):
        if lookup.scaled_to_zero(inputs.observed, name):
            continue
        return Problem("Starting", f"no pod of {name} is ready yet{serving_fallback(inputs, name)}")
    return None


def unavailable_pools(inputs: PolicyInput) -> Iterator[str]:
    """Pools without an available pod, except those that serve only as fallbacks."""
    unlisted = {pool.name for pool in inputs.resolved.pools if not pool.offered and pool.name != inputs.resolved.entry}
    return (name for name in pool_names(inputs) if name not in unlisted and not is_available(inputs, name))


def is_available(inputs: PolicyInput, pool: str) -> bool:
    """Whether the pool has an available pod."""
    deployment = lookup.deployment(inputs.observed, pool)
    return deployment is not None and fields.count(deployment, "availableReplicas") > 0


def serving_fallback(inputs: PolicyInput, pool: str) -> str:
    """The end of a message that names the fallback in use; empty for the entry, through which every request goes."""
    pools = {each.model_name: each for each in inputs.resolved.pools}
    current = next((each for each in pools.values() if each.name == pool), None)
    if current is None or pool == inputs.resolved.entry:
        return ""
    for _ in pools:
        if current is None or current.fallback is None:
            return ""
        current = pools.get(current.fallback)
        if current is not None and is_available(inputs, current.name):
            return f"; requests are served by fallback {current.model_name}"
    return ""


def some_pods_failing(inputs: PolicyInput) -> Problem | None:
    """Some pods are ready, others cannot run: a rollout is stuck, or a scale-up lacks capacity."""
    without_room = {pool.name for pool in inputs.resolved.pools if pool.rollout.no_room}
    for name in pool_names(inputs):
        if failures := pod_failures_of(inputs, name):
            messages = "; ".join(failure.message for failure in failures)
            if name in without_room:
                advice = "the old pods keep serving; free capacity or set spec.rollout.strategy to Replace"
                return Problem("NoRoomToSurge", f"{messages}; {advice}")
            if problem := no_capacity(inputs, name, messages):
                return problem
            return Problem(failures[0].reason, f"{messages}; the other pods keep serving")
    return None


def no_capacity(inputs: PolicyInput, pool: str, messages: str) -> Problem | None:
    """Pods that are started before a window find no room: there is still time to make some."""
    resolved = inputs.resolved
    opening = resolved.pre_warmed.window if resolved.pre_warmed else None
    if opening is None or not resolved.pools or pool != resolved.pools[0].name:
        return None
    at = timestamp(opening.at)
    return Problem(
        "NoCapacityForNextWindow",
        f"window {opening.window} opens at {at} with at least {opening.bounds.min_replicas} replicas, and not all of"
        f" them run: {messages}; free capacity or add nodes; the other pods keep serving",
    )


def autoscaler_missing(inputs: PolicyInput) -> Problem | None:
    """The cluster lacks what spec.autoscaling asks for; another autoscaler keeps the bounds."""
    return inputs.resolved.autoscaler.problem if inputs.resolved.followed else None


def keda_failing(inputs: PolicyInput) -> Problem | None:
    """KEDA makes no HPA of a ScaledObject: nothing scales the pool, and the operator alone keeps the bounds."""
    if inputs.resolved.stopped:
        return None
    for name in pool_names(inputs):
        live = lookup.scaled_object(inputs.observed, name)
        if live is None or lookup.autoscaler(inputs.observed, name) is not None:
            continue
        ready = fields.condition(live, "Ready") or {}
        told = f": {ready['message']}" if ready.get("status") == "False" and ready.get("message") else ""
        return Problem(
            "ScaledObjectNotReady",
            f"KEDA has made no HPA of so/{name} yet{told}; `kubectl describe scaledobject {name}` and the logs of"
            " keda-operator say more; meanwhile replicas follow the schedule's bounds, not the load",
        )
    return None


def metrics_missing(inputs: PolicyInput) -> Problem | None:
    """An HPA whose bounds differ cannot read its metric. It still enforces the bounds."""
    for pool in inputs.resolved.pools:
        if pool.bounds.min_replicas == pool.bounds.max_replicas and not pool.pinned:
            continue
        live = lookup.autoscaler(inputs.observed, pool.name)
        active = fields.condition(live, "ScalingActive")
        if (
            live is None
            or active is None
            or active.get("status") != "False"
            or active.get("reason") == "ScalingDisabled"
        ):
            continue
        pinned = (
            f"; maxReplicas is pinned to {pool.bounds.min_replicas} until metrics are available" if pool.pinned else ""
        )
        reason = str(active.get("reason") or "Unknown")
        effect = "does not follow the load" if reason == AMBIGUOUS else "cannot read its metric"
        advice = "; delete all but one of these HPAs, or change their selectors" if reason == AMBIGUOUS else ""
        return Problem(reason, f"hpa/{live['metadata']['name']} {effect}: {active.get('message', '')}{advice}{pinned}")
    return None


def redis_unusable(inputs: PolicyInput) -> Problem | None:
    """Replicas cannot share counters: each enforces its share of the limits."""
    redis = inputs.resolved.redis
    return (redis.problem if redis else None) or inputs.outcome.redis


def audio_not_stored(inputs: PolicyInput) -> Problem | None:
    """The tenant's object store cannot be used: replies carry audio instead of links."""
    return inputs.observed.stores.s3_problem


SUSPENDED = "Suspended"
"""Type of the condition that is True while `spec.suspend` is followed, else absent; and the reason in others."""
SCALED_TO_ZERO = "ScaledToZero"
"""Reason of Available, and of Ready, which is True, where the schedule or an HPA has scaled a pool to zero."""
AMBIGUOUS = "AmbiguousSelector"
"""Reason of the HPA controller where several HPAs select the same pods."""
REPLICAS_CONTESTED = "ReplicasContested"
THROTTLED = (HALTED, PAUSED, WAITING)
"""Reasons for which a pool may not roll out a shared change yet; the first is reported."""
REDIS = "RedisConfigured"
"""Set only for a tenant with a Redis, its own or the operator's."""
STORAGE = "StorageConfigured"
KEYS = "KeysConfigured"
"""Set only for a tenant whose callers need API keys, and whose Secret the operator may read."""

# The order in each list is the precedence: the first problem is the one that the condition reports.
POLICIES: Mapping[str, tuple[Policy, ...]] = {
    "Accepted": (refused,),
    "ModelsResolved": (model_unusable,),
    "Programmed": (write_failed, interfered, throttled),
    "Available": (
        never_accepted,
        suspended,
        scaled_by_schedule,
        pool_failing,
        keys_missing,
        no_key_usable,
        starting,
        scaled_to_zero,
    ),
    "ScalingActive": (second_autoscaler, replicas_contested, autoscaler_missing, metrics_missing, keda_failing),
    REDIS: (redis_unusable,),
    STORAGE: (audio_not_stored,),
    KEYS: (keys_missing, some_keys_unusable),
}
SUMMARIZED = ("Accepted", "ModelsResolved", "Programmed", "Available")
"""Conditions that Ready summarizes, without the policies of STILL_SERVING and, of a suspended tenant, those of pods."""
STILL_SERVING: tuple[Policy, ...] = (interfered, throttled)
"""Policies that do not concern callers: a queued or paused rollout, and what other programs do to children."""
WARNINGS = ("ScalingActive", REDIS, STORAGE, KEYS)
"""Conditions that only warn: the endpoint works without metrics, Redis and an object store, and with one key."""


def pool_names(inputs: PolicyInput) -> list[str]:
    """Pools of the spec that is followed; without one, those that are deployed."""
    if inputs.resolved.followed:
        return [pool.name for pool in inputs.resolved.pools]
    return sorted(ref.name for ref in inputs.observed.children if ref.kind == "Deployment")


def pod_failures_of(inputs: PolicyInput, pool: str) -> list[Problem]:
    """Failures that keep the pool's pods from running."""
    return pod_failures(lookup.deployment(inputs.observed, pool), lookup.pods_of(inputs.observed, pool))
