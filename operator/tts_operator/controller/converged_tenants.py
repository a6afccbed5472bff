"""Remembers which tenants needed no write, and of what: while nothing of that changes, a reconcile is over at once.

A digest of everything that a reconcile reads is compared, not the events: an event may come for a change that does not
concern the tenant, and the periodic list enqueues every tenant. No content of an object or a Secret is kept. Secrets
are not in the digest: whoever hears of their change calls `forget`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tts_operator.informer.reader import TenantStamp
from tts_operator.objects.keys import Key
from tts_operator.scheduled_scaling.precompute import Requeue

VALID_FOR = timedelta(hours=1)
"""Time after which a tenant is reconciled in full whatever was heard: it repairs what should not happen."""


@dataclass(frozen=True)
class Inputs:
    """Digest of everything that a reconcile depends on, besides the time and Secrets."""

    stamp: TenantStamp
    files: tuple[int, ...] = ()
    """Times at which the files with credentials of the operator's stores changed, in nanoseconds."""


@dataclass(frozen=True)
class Converged:
    """A reconcile that needed no write."""

    inputs: Inputs
    requeue: Requeue | None
    until: datetime


class ConvergedTenants:
    """Last reconciles without a write, of one term of leadership. Used by one event loop."""

    def __init__(self) -> None:
        self._converged: dict[Key, Converged] = {}

    def find(self, key: Key, inputs: Inputs | None, now: datetime) -> Converged | None:
        """The last reconcile of a tenant, if another one would find the same; else None."""
        found = self._converged.get(key)
        return found if found is not None and inputs == found.inputs and now < found.until else None

    def record(self, key: Key, inputs: Inputs | None, requeue: Requeue | None, now: datetime) -> None:
        """Record a reconcile that needed no write; `inputs` are those from before it read anything."""
        if inputs is None:
            self.forget(key)
            return
        until = now + VALID_FOR
        self._converged[key] = Converged(inputs, requeue, min(until, requeue.at) if requeue else until)

    def forget(self, key: Key) -> None:
        """Reconcile a tenant in full next time."""
        self._converged.pop(key, None)

    def clear(self) -> None:
        """Reconcile every tenant in full next time: another replica may have led since."""
        self._converged.clear()
