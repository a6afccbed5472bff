"""Decides which tenants take a model's change first, and when the others follow. Pure.

a share of the tenants, at least one, takes the change
 -> every one of them runs it and has been available for the soak time: the others follow
 -> it fails for any tenant: no further tenant takes it

Which ones they are follows from a hash of their UIDs, so that every leader chooses the same. A tenant that runs the
change already counts first: one that was created meanwhile, or one of a set that has changed since.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from tts_operator.objects.keys import Key
from tts_operator.objects.problem import Problem

WAITING_FOR_CANARY, CANARY_FAILED = "WaitingForCanary", "CanaryFailed"


class Canary(NamedTuple):
    """A model's change that some tenants take first."""

    model: str
    digest: str
    """Digest of the model with the change, as `Sources` has it."""
    percent: int
    soak_seconds: int


class Phase(IntEnum):
    """How far a tenant is with the change; the least one is preferred for a canary."""

    RUNS = 0
    """Every pod runs it, and all are available."""
    ROLLS = 1
    """Pods are being replaced."""
    BEFORE = 2
    """It has not begun."""
    UNFIT = 3
    """It says nothing about the change: it has no pods, or cannot roll for a reason of its namespace."""


@dataclass(frozen=True)
class TenantState:
    """One tenant with a pool of the model."""

    uid: str
    phase: Phase
    since: datetime | None = None
    """When every pod ran the change; None if that is not known."""
    failure: str = ""
    """How the change fails for it; empty if it does not."""


@dataclass(frozen=True)
class CanaryState:
    """How far a change is with the tenants that take it first."""

    tenants: frozenset[Key]
    """Tenants that take it first."""
    updated: frozenset[Key]
    """Those of them that run it."""
    failures: Mapping[Key, str]
    """Tenants that it fails for, whichever they are, and how."""
    soaks_until: datetime | None = None
    """End of the soak time; None while not all of them run the change."""

    def released(self, now: datetime) -> bool:
        """Whether the others may follow."""
        return not self.failures and self.soaks_until is not None and now >= self.soaks_until

    def blocked_reason(self, key: Key, model: str, now: datetime) -> Problem | None:
        """Why this tenant may not take the change now. The message names no other tenant."""
        if self.failures:
            return Problem(
                CANARY_FAILED,
                f"The change of TTSModel {model} failed for tenants that took it first; no action needed: the platform"
                " team goes on with it or takes it back.",
            )
        if key in self.tenants or self.released(now):
            return None
        return Problem(
            WAITING_FOR_CANARY,
            f"Other tenants take the change of TTSModel {model} first; no action needed: it follows here once it has"
            " proved itself.",
        )


def canary_state(canary: Canary, tenants: Mapping[Key, TenantState]) -> CanaryState:
    """State of the change among all tenants that have a pool of the model."""
    fit = [key for key, state in tenants.items() if state.phase is not Phase.UNFIT]
    count = canary_count(len(fit), canary.percent)
    first = sorted(fit, key=lambda key: (tenants[key].phase, place(tenants[key].uid), key))[:count]
    updated = frozenset(key for key in first if tenants[key].phase is Phase.RUNS)
    return CanaryState(
        frozenset(first),
        updated,
        {key: state.failure for key, state in sorted(tenants.items()) if state.failure},
        soak_end(canary, [tenants[key].since for key in first]) if len(updated) == len(first) else None,
    )


def canary_count(tenants: int, percent: int) -> int:
    """Number of tenants that take a change first: at least one, if there is any."""
    return min(tenants, max(1, -(-tenants * percent // 100)))


def place(uid: str) -> str:
    """Place of a tenant among the others: as good as random, and always the same."""
    return hashlib.sha256(uid.encode()).hexdigest()


def soak_end(canary: Canary, finished: list[datetime | None]) -> datetime:
    """End of the soak time, which begins when the last of the first tenants runs the change."""
    beginnings = [each for each in finished if each is not None]
    if not beginnings:
        return datetime.min.replace(tzinfo=UTC)
    return max(beginnings) + timedelta(seconds=canary.soak_seconds)
