"""Starts of pods in all tenants that the status of their models does not have yet."""

from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import datetime

from tts_operator.api import TTSModel
from tts_operator.api.status import MAX_STARTS
from tts_operator.objects import fields
from tts_operator.objects.keys import Key
from tts_operator.snapshot.observed import Observed
from tts_operator.snapshot.pod_starts import PodStart, pod_starts


class PodStarts:
    """Tracks which pods' starts were counted. Used by one event loop, for one term of leadership.

    The status of a model has the time of the last start in it. Pods that were ready by then when a tenant is first
    read were counted by this operator before it started anew, or by the leader before it.
    """

    def __init__(self, release: str) -> None:
        self._release = release
        self._counted: dict[Key, frozenset[str]] = {}  # UIDs of the pods that exist
        self._pending: defaultdict[str, deque[PodStart]] = defaultdict(lambda: deque(maxlen=MAX_STARTS))
        self._changed: set[str] = set()

    def clear(self) -> None:
        """Forget everything: another leader may have counted since."""
        self._counted.clear()
        self._pending.clear()
        self._changed.clear()

    def record(self, observed: Observed) -> None:
        """Count the pods of one tenant that have become ready."""
        found = list(pod_starts(observed))
        before = self._counted.get(observed.key)
        for start in found:
            if before is not None and start.uid in before:
                continue
            if before is None and self._is_counted(start, observed.models.get(start.model)):
                continue
            if start.model in observed.models:
                self._pending[start.model].append(start)
                self._changed.add(start.model)
        existing = {str(pod["metadata"].get("uid", "")) for pod in observed.pods}
        started = {start.uid for start in found}
        self._counted[observed.key] = frozenset(((before or frozenset()) | started) & existing)

    def _is_counted(self, start: PodStart, model: TTSModel | None) -> bool:
        """Whether the model's status has this start, or a later one."""
        last = last_start(model, self._release)
        return last is not None and start.ready_at <= last

    def forget(self, key: Key) -> None:
        """Forget a tenant that is gone."""
        self._counted.pop(key, None)

    def pending(self, model: str) -> tuple[PodStart, ...]:
        """Starts that the status of this model does not have yet."""
        return tuple(self._pending.get(model, ()))

    def reported(self, model: str, starts: Sequence[PodStart]) -> None:
        """Record that the status has these."""
        left = [start for start in self._pending.pop(model, ()) if start not in starts]
        if left:
            self._pending[model].extend(left)

    def changed_models(self) -> frozenset[str]:
        """Models with new starts since the last call."""
        changed = frozenset(self._changed)
        self._changed.clear()
        return changed


def last_start(model: TTSModel | None, release: str) -> datetime | None:
    """When the last pod became ready that this release has counted; None without any."""
    releases = model.status.releases if model is not None and model.status is not None else ()
    own = next((each for each in releases if each.name == release), None)
    return fields.instant(own.last_start_time) if own is not None else None
