"""Start failures of models' pods in all tenants, for the status of the models."""

from collections.abc import Mapping

from tts_operator.objects.keys import Key
from tts_operator.objects.problem import Problem
from tts_operator.snapshot.observed import Observed
from tts_operator.snapshot.start_failures import start_failures


class StartFailures:
    """Tracks the failures that the last reading of each tenant found. Used by one event loop."""

    def __init__(self) -> None:
        self._failures: dict[Key, Mapping[str, Problem]] = {}
        self._changed: set[str] = set()

    def record(self, observed: Observed) -> None:
        """Record the failures of one tenant's pods."""
        found = start_failures(observed)
        before = self._failures.get(observed.key)
        self._failures[observed.key] = found
        if before is None:  # it may have been why the status of its models was left as it was
            self._changed.update(observed.models)
        self._changed.update(model for model, _ in {*found.items()} ^ {*(before or {}).items()})

    def forget(self, key: Key) -> None:
        """Forget a tenant that is gone."""
        self._changed.update(self._failures.pop(key, {}))

    def of(self, model: str, tenants: frozenset[Key]) -> dict[Key, Problem]:
        """Failures of a model, by tenant."""
        found = {key: self._failures.get(key, {}).get(model) for key in tenants}
        return {key: problem for key, problem in found.items() if problem is not None}

    def unread(self, tenants: frozenset[Key]) -> bool:
        """Whether some of these tenants have not been read yet."""
        return not tenants <= self._failures.keys()

    def changed_models(self) -> frozenset[str]:
        """Models for which this has changed since the last call."""
        changed = frozenset(self._changed)
        self._changed.clear()
        return changed
