"""Ceilings that the platform sets on a namespace by labels, or on all by the operator's defaults.

A ceiling is enforced as of the next reconcile: a tier above it is refused, so that the last accepted spec stays; bounds
are lowered, and no endpoint is torn down. A label whose value means nothing is told, and the default applies. The
chart's admission policies refuse what is above a ceiling before it is stored:
charts/ttsfleet/templates/tenant-policies.yaml.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tts_operator.api import TenantModel, TTSTenant
from tts_operator.api.tenant import Tier
from tts_operator.calendar.bounds import Change, State
from tts_operator.calendar.member_windows import MemberWindows
from tts_operator.calendar.window_settings import WindowPrecision, precisions_by_window
from tts_operator.objects.labels import MAX_ACCELERATORS, MAX_REPLICAS, MAX_TIER
from tts_operator.objects.problem import Problem
from tts_operator.resolve.accelerators import accelerator_count
from tts_operator.resolve.pools import loaded_precisions
from tts_operator.resolve.precision import accelerators
from tts_operator.settings import DefaultCeilings
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

TIERS = tuple(tier.value for tier in Tier)
"""Names of the tiers, lowest first."""
COUNT = re.compile("[0-9]{1,9}")
"""A number in a label; the admission policies read no longer ones either."""


@dataclass(frozen=True)
class Ceilings:
    """Ceilings of one namespace."""

    tier: str
    replicas: int
    """Most replicas of a pool."""
    accelerators: int
    """Most accelerators of a pool: those of a replica times its replicas."""
    labels: frozenset[str]
    """Labels from which a ceiling comes; the others are the operator's defaults."""
    problems: tuple[Problem, ...]
    """Labels that mean nothing."""

    def source(self, label: str) -> str:
        """The origin of the ceiling that the label sets, for a message."""
        if label in self.labels:
            return f"the namespace's label {label}"
        return f"the operator's default for namespaces without the label {label}"


def ceilings_of(labels: Mapping[str, str], defaults: DefaultCeilings) -> Ceilings:
    """Ceilings of a namespace with these labels."""
    used, problems = set(), []

    def ceiling(label: str, *, valid: bool, must: str) -> str | None:
        if label not in labels:
            return None
        if not valid:
            message = f"namespace label {label} must be {must}; until then the operator's default applies"
            problems.append(Problem("CeilingInvalid", message))
            return None
        used.add(label)
        return labels[label]

    replicas = ceiling(
        MAX_REPLICAS, valid=is_count(labels.get(MAX_REPLICAS, ""), least=1), must="a whole number from 1 to 999999999"
    )
    tier = ceiling(MAX_TIER, valid=labels.get(MAX_TIER) in TIERS, must=f"one of {', '.join(TIERS)}")
    devices = ceiling(
        MAX_ACCELERATORS,
        valid=is_count(labels.get(MAX_ACCELERATORS, ""), least=0),
        must="a whole number from 0 to 999999999",
    )
    return Ceilings(
        tier=defaults.max_tier if tier is None else tier,
        replicas=defaults.max_replicas if replicas is None else int(replicas),
        accelerators=defaults.max_accelerators if devices is None else int(devices),
        labels=frozenset(used),
        problems=tuple(problems),
    )


def is_count(text: str, *, least: int) -> bool:
    """Whether a label's value is a whole number that is not too small."""
    return COUNT.fullmatch(text) is not None and int(text) >= least


def tier_problem(tenant: TTSTenant, ceilings: Ceilings) -> Problem | None:
    """The tier is above the namespace's."""
    if TIERS.index(tenant.spec.tier.value) <= TIERS.index(ceilings.tier):
        return None
    message = f"spec.tier {tenant.spec.tier.value} is above {ceilings.tier}, which {ceilings.source(MAX_TIER)} allows"
    return Problem("TierNotAllowed", message)


class PoolCeiling(NamedTuple):
    """Ceiling of the replicas of one pool."""

    replicas: int
    """At least 1: a ceiling tears nothing down."""
    accelerators: int
    """Accelerators of one replica; 0 while the model cannot be read."""


def pool_ceiling(observed: Observed, tenant: TTSTenant, tenant_model: TenantModel, ceilings: Ceilings) -> PoolCeiling:
    """The most replicas of the pool of a model: its accelerators count, too."""
    return ceiling_with(accelerators_of(observed, tenant, tenant_model), ceilings)


def running_pool_ceiling(observed: Observed, pool: str, ceilings: Ceilings) -> PoolCeiling:
    """The most replicas of a pool as its pods are now, whatever the spec says."""
    live = lookup.deployment(observed, pool)
    pod = live["spec"]["template"]["spec"] if live else {}
    containers = (*pod.get("containers", ()), *(pod.get("initContainers") or ()))
    limits = [(container.get("resources") or {}).get("limits") or {} for container in containers]
    claimed = len(pod.get("resourceClaims") or ())
    return ceiling_with(sum(accelerators(each, []) for each in limits) + claimed, ceilings)


def ceiling_with(devices: int, ceilings: Ceilings) -> PoolCeiling:
    """The most replicas of a pool whose replicas have so many accelerators each."""
    most = ceilings.replicas if devices == 0 else min(ceilings.replicas, max(1, ceilings.accelerators // devices))
    return PoolCeiling(most, devices)


def accelerators_of(observed: Observed, tenant: TTSTenant, tenant_model: TenantModel) -> int:
    """Accelerators of one replica, the most of all windows; 0 while the model cannot be read."""
    model = observed.models.get(tenant_model.name)
    if model is None:
        return 0
    schedule = tenant.spec.schedule if tenant_model == tenant.spec.models[0] else None
    choices = [
        loaded_precisions(model, tenant, tenant_model, WindowPrecision(precision, window))
        for window, precision in precisions_by_window(schedule)
    ]
    return max(accelerator_count(model, choice.name, loaded) for choice, loaded in choices)


def accelerators_problem(
    observed: Observed, tenant: TTSTenant, tenant_model: TenantModel, ceilings: Ceilings
) -> Problem | None:
    """A single replica of the model has more accelerators than the namespace allows."""
    devices = accelerators_of(observed, tenant, tenant_model)
    if devices <= ceilings.accelerators:
        return None
    return Problem(
        "AcceleratorsNotAllowed",
        f"one replica of TTSModel {tenant_model.name} needs {devices} accelerators, more than {ceilings.accelerators},"
        f" which {ceilings.source(MAX_ACCELERATORS)} allows: choose another model, or ask the platform team",
    )


def capped_state(state: State, most: int) -> State:
    """The state of a schedule, with lowered bounds."""
    return State(state.window, state.bounds.capped(most))


def capped_change(change: Change | None, most: int) -> Change | None:
    """The next transition of a schedule, with lowered bounds."""
    return change and Change(change.at, change.window, change.bounds.capped(most))


def ceiling_notes(
    observed: Observed, tenant: TTSTenant, scheduled: Sequence[State], ceilings: Ceilings
) -> Iterator[Problem]:
    """Notes about ceilings that lower what the spec asks for, and about labels that mean nothing."""
    for position, tenant_model in enumerate(tenant.spec.models):
        wanted = [state.bounds for state in scheduled] if position == 0 else MemberWindows.of(tenant_model).all()
        highest = max(bounds.max_replicas for bounds in wanted)
        most = pool_ceiling(observed, tenant, tenant_model, ceilings)
        if highest > ceilings.replicas:
            limit = f"{ceilings.source(MAX_REPLICAS)}: {ceilings.replicas} applies"
            yield Problem("ReplicasClamped", f"maxReplicas {highest} of {tenant_model.name} exceeds {limit}")
        if min(highest, ceilings.replicas) > most.replicas:
            limit = f"more than {ceilings.accelerators}, which {ceilings.source(MAX_ACCELERATORS)} allows"
            message = (
                f"maxReplicas {highest} of {tenant_model.name} needs {highest * most.accelerators} accelerators,"
                f" {limit}: maxReplicas {most.replicas} applies"
            )
            yield Problem("ReplicasClamped", message)
    yield from ceilings.problems
