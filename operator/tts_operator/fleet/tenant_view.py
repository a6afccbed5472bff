"""Parts of a live TTSTenant as people read them. What its status lacks is left out: another release may write it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from tts_operator.calendar.calendar import UnknownTimeZone, time_zone

Body = Mapping[str, Any]
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
NEGATIVE = frozenset({"Progressing", "Reconciling", "Stalled", "Suspended"})
"""Conditions that tell something while they are True. The others do while they are not."""
QUIET = frozenset({"Reconciling"})
"""Conditions that repeat another one, for tools."""


class Shown(NamedTuple):
    """A condition that tells a person something."""

    type: str
    status: str
    since: str
    reason: str
    message: str


@dataclass(frozen=True)
class TenantView:
    """One TTSTenant, read-only."""

    body: Body

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"].get("namespace", ""))

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def spec(self) -> Body:
        return self.body.get("spec") or {}

    @property
    def status(self) -> Body:
        return self.body.get("status") or {}

    @property
    def pools(self) -> list[Body]:
        """Entries of `status.pools`; the first is the entry pool."""
        return list(self.status.get("pools") or ())

    @property
    def ready(self) -> Shown | None:
        """The condition Ready; None before the operator has seen the tenant."""
        return next(iter(conditions_of(self.status, "Ready")), None)

    @property
    def is_ready(self) -> bool:
        return self.ready is not None and self.ready.status == "True"

    @property
    def is_suspended(self) -> bool:
        return any(each.status == "True" for each in conditions_of(self.status, "Suspended"))

    @property
    def telling(self) -> list[Shown]:
        """Conditions besides Ready that say what is missing or under way."""
        return [
            each
            for each in conditions_of(self.status)
            if each.type not in {"Ready", *QUIET} and (each.status == "True") == (each.type in NEGATIVE)
        ]

    @property
    def progressing(self) -> Shown | None:
        """The condition Progressing, which tells how a rollout stands; None without one."""
        return next(iter(conditions_of(self.status, "Progressing")), None)

    @property
    def replicas(self) -> tuple[int, int]:
        """Ready and desired replicas of all pools."""
        ready, desired = (sum(int(pool.get(name) or 0) for pool in self.pools) for name in ("ready", "desired"))
        return ready, desired

    @property
    def bounds(self) -> str:
        """Bounds of the entry pool."""
        return bounds(self.pools[0].get("min"), self.pools[0].get("max")) if self.pools else "-"

    @property
    def window(self) -> str:
        return plain(self.status.get("activeWindow") or "") or "-"

    @property
    def precision(self) -> str:
        return plain(self.status.get("precision") or "") or "-"

    @property
    def model(self) -> str:
        return plain(self.status.get("model") or "") or "-"

    @property
    def url(self) -> str:
        """URL of the endpoint inside the cluster; empty before the operator has made it."""
        return plain(self.status.get("url") or "")

    @property
    def hourly_cost(self) -> Decimal | None:
        """Cost of the desired replicas; None where a price is unknown."""
        try:
            return Decimal(str((self.status.get("cost") or {})["hourly"]))
        except (KeyError, InvalidOperation):
            return None

    def next_change(self) -> str:
        """The next window with its bounds, in the tenant's time zone; `-` without a schedule."""
        change = self.status.get("nextTransition") or {}
        zone = ((self.body.get("spec") or {}).get("schedule") or {}).get("timeZone") or "UTC"
        try:
            at = datetime.fromisoformat(str(change["time"])).astimezone(time_zone(str(zone)))
        except (KeyError, ValueError, UnknownTimeZone):
            return "-"
        return f"{at:%a %H:%M} {bounds(change.get('minReplicas'), change.get('maxReplicas'))}"


def conditions_of(status: Mapping[str, Any], *types: str) -> list[Shown]:
    """Conditions of a status, by default all, without control characters."""
    found = []
    for each in status.get("conditions") or ():
        if isinstance(each, Mapping) and (not types or each.get("type") in types):
            names = ("type", "status", "lastTransitionTime", "reason", "message")
            found.append(Shown(*(plain(each.get(name) or "") for name in names)))
    return found


def bounds(low: object, high: object) -> str:
    """Replica bounds as 3 or 3-6."""
    return f"{low}" if low == high else f"{low}-{high}"


def plain(text: object) -> str:
    """Text without control characters: a message may quote what a program printed."""
    return CONTROL.sub(" ", str(text)).strip()
