"""Faults of an API server, or of the way to it, and the seeded choice of which request meets one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class ApiFault(StrEnum):
    """One class of faults. `RATES` says which requests meet it."""

    CONFLICT = "409"
    """A write is refused: the object has changed meanwhile, or exists already."""
    EXPIRED = "410"
    """A list or watch is refused, or a watch ends with an event: the version that it continues from is too old."""
    THROTTLED = "429"
    """A request is refused, with Retry-After."""
    INTERNAL = "500"
    """A request is refused: the storage has just elected another leader."""
    UNAVAILABLE = "503"
    """A request is refused: the API server starts."""
    HANG = "hang"
    """A request is not answered, and its connection cut after seconds; a write is not done."""
    CUT_BODY = "cut-body"
    """A request is done, and its connection cut in the middle of the answer."""
    CUT_WATCH = "cut-watch"
    """A watch is cut in the middle of an event."""
    LATE_EVENTS = "late-events"
    """Events of a watch come up to three seconds late, in their order."""
    DOUBLED_EVENTS = "doubled-events"
    """Events of a watch come twice."""
    REORDERED_EVENTS = "reordered-events"
    """Events of different objects, neighbours in one watch, change places."""
    STALE_LISTS = "stale-lists"
    """A list is answered as the same list was answered before."""
    DONE_BUT_FAILED = "done-but-failed"
    """A write is done, and answered with an error or not at all."""


class Verb(StrEnum):
    """Sort of a request, as far as faults tell them apart."""

    GET = "get"
    LIST = "list"
    WATCH = "watch"
    WRITE = "write"


class Call(NamedTuple):
    """One request to the API server."""

    verb: Verb
    resource: str
    name: str = ""


EVERYTHING = {Verb.GET: 0.2, Verb.LIST: 0.2, Verb.WATCH: 0.4, Verb.WRITE: 0.3}
"""So often that most reconciles meet one, and so seldom that some end."""
RATES: Mapping[ApiFault, Mapping[Verb, float]] = {
    ApiFault.CONFLICT: {Verb.WRITE: 0.4},
    ApiFault.EXPIRED: {Verb.LIST: 0.1, Verb.WATCH: 0.8},
    ApiFault.THROTTLED: EVERYTHING,
    ApiFault.INTERNAL: EVERYTHING,
    ApiFault.UNAVAILABLE: EVERYTHING,
    ApiFault.HANG: {Verb.GET: 0.03, Verb.LIST: 0.03, Verb.WATCH: 0.3, Verb.WRITE: 0.05},
    ApiFault.CUT_BODY: {Verb.GET: 0.2, Verb.LIST: 0.2, Verb.WRITE: 0.3},
    ApiFault.CUT_WATCH: {Verb.WATCH: 0.9},
    ApiFault.LATE_EVENTS: {Verb.WATCH: 0.9},
    ApiFault.DOUBLED_EVENTS: {Verb.WATCH: 0.9},
    ApiFault.REORDERED_EVENTS: {Verb.WATCH: 0.9},
    ApiFault.STALE_LISTS: {Verb.LIST: 0.4},
    ApiFault.DONE_BUT_FAILED: {Verb.WRITE: 0.4},
}
"""Probability that a request of a verb meets the fault."""
LEASE_SHARE = 0.1
"""Share of that probability for Leases: an operator that cannot lead does nothing that a fault could spoil."""
LEASES = "leases"


@dataclass
class FaultPlan:
    """Decides with a seed which requests meet a fault, while it is active."""

    faults: tuple[ApiFault, ...]
    seed: int
    active: bool = False
    met: Counter[ApiFault] = field(default_factory=Counter)
    """Requests that met each fault."""

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.seed} of the API server")

    def fault_of(self, call: Call) -> ApiFault | None:
        """Choose the fault that a request meets; None for one that meets none."""
        if not self.active:
            return None
        share = (LEASE_SHARE if call.resource == LEASES else 1.0) / len(self.faults)
        for fault in self.faults:
            if self.chance.random() < RATES[fault].get(call.verb, 0.0) * share:
                self.met[fault] += 1
                return fault
        return None

    @property
    def remembers_lists(self) -> bool:
        """Whether older answers are needed."""
        return ApiFault.STALE_LISTS in self.faults


def call_of(method: str, path: str, *, watch: bool) -> Call:
    """Sort a request by its method and URL path."""
    parts = [part for part in path.split("/") if part]
    rest = parts[2:] if parts[:1] == ["api"] else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    resource, name = (*rest, "", "")[:2]
    if method != "GET":
        return Call(Verb.WRITE, resource, name)
    return Call(Verb.WATCH if watch else Verb.GET if name or not resource else Verb.LIST, resource, name)
