"""Ceilings that the platform sets on a namespace by labels: the highest tier, and the most replicas of a pool.

A label is enforced as of the next reconcile: a tier above it is refused, so that the last accepted spec stays; bounds
are lowered, and no endpoint is torn down. A label whose value means nothing is told, and changes nothing that runs.
"""

from collections.abc import Iterable, Iterator, Mapping

from tts_operator.api import TTSTenant
from tts_operator.api.tenant import Tier
from tts_operator.calendar.bounds import Bounds, Change, State
from tts_operator.objects.labels import MAX_ACCELERATORS, MAX_REPLICAS, MAX_TIER
from tts_operator.objects.problem import Problem

TIERS = tuple(tier.value for tier in Tier)
"""Names of the tiers, lowest first."""


def tier_problem(tenant: TTSTenant, labels: Mapping[str, str]) -> Problem | None:
    """The tier is above the namespace's."""
    highest = labels.get(MAX_TIER)
    if highest not in TIERS or TIERS.index(tenant.spec.tier.value) <= TIERS.index(highest):
        return None
    message = f"spec.tier {tenant.spec.tier.value} is above {highest}, which the namespace's label {MAX_TIER} allows"
    return Problem("TierNotAllowed", message)


def max_replicas(labels: Mapping[str, str]) -> int | None:
    """Most replicas that a pool may have; None without a limit."""
    text = labels.get(MAX_REPLICAS, "")
    return int(text) if is_count(text) else None


def is_count(text: str) -> bool:
    """Whether a label's value is a number of replicas, at least 1."""
    return text.isascii() and text.isdecimal() and int(text) > 0


def capped(bounds: Bounds, most: int | None) -> Bounds:
    """The bounds, lowered to the ceiling."""
    return bounds if most is None else Bounds(min(bounds.min_replicas, most), min(bounds.max_replicas, most))


def capped_state(state: State, most: int | None) -> State:
    """The state of a schedule, with lowered bounds."""
    return State(state.window, capped(state.bounds, most))


def capped_change(change: Change | None, most: int | None) -> Change | None:
    """The next transition of a schedule, with lowered bounds."""
    return change and Change(change.at, change.window, capped(change.bounds, most))


def ceiling_notes(labels: Mapping[str, str], requested: Iterable[Bounds]) -> Iterator[Problem]:
    """Notes about labels that lower what the spec asks for, that mean nothing, or that are not enforced."""
    most, highest = max_replicas(labels), max((bounds.max_replicas for bounds in requested), default=0)
    if most is not None and highest > most:
        message = f"maxReplicas {highest} exceeds the namespace's label {MAX_REPLICAS}: {most} applies"
        yield Problem("ReplicasClamped", message)
    if MAX_REPLICAS in labels and most is None:
        yield Problem("CeilingInvalid", f"namespace label {MAX_REPLICAS} must be a whole number from 1")
    if MAX_TIER in labels and labels[MAX_TIER] not in TIERS:
        yield Problem("CeilingInvalid", f"namespace label {MAX_TIER} must be one of {', '.join(TIERS)}")
    if MAX_ACCELERATORS in labels:
        yield Problem("CeilingsNotEnforced", f"namespace label {MAX_ACCELERATORS} is not enforced yet")
