"""Order in which queued keys are handed out: by lanes with guaranteed shares, and by turns between teams.

Pure: the time is an argument, and nothing waits here. Two rules hold for any load, so that nobody starves:

- A lane with keys gets at least its weight's share of what is handed out; what other lanes leave is shared in the same
  proportions. Each lane has the virtual time at which its next key is due, as in weighted fair queueing.
- Within a lane teams take turns, so that a team with one key waits for one turn of the others, however many they have.
"""

from collections.abc import Callable, Hashable
from enum import IntEnum
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Lane(IntEnum):
    """Reasons to reconcile, the most urgent first."""

    TRANSITION = 0
    """A window of the schedule opens or closes."""
    EDIT = 1
    """Somebody changed a tenant, or what it names."""
    CHILD = 2
    """A child or a pod changed, or what was written is to be looked at again."""
    RESYNC = 3
    """Nothing is known to have changed."""


WEIGHTS: dict[Lane, int] = {Lane.TRANSITION: 8, Lane.EDIT: 5, Lane.CHILD: 2, Lane.RESYNC: 1}
"""Share of each lane while all have keys, in sixteenths."""


class FairLanes(Generic[K]):
    """Distinct keys, each in one lane."""

    def __init__(self, team_of: Callable[[K], str]) -> None:
        """`team_of` returns the team of a key, between which turns are taken: its namespace."""
        self._team_of = team_of
        self._lanes: dict[Lane, dict[str, dict[K, float]]] = {lane: {} for lane in Lane}  # by team; by time of arrival
        self._lane_of: dict[K, Lane] = {}
        self._due: dict[Lane, float] = dict.fromkeys(Lane, 0.0)  # virtual time of each lane's next key
        self._now = 0.0  # virtual time of the last key

    def __len__(self) -> int:
        return len(self._lane_of)

    def __contains__(self, key: K) -> bool:
        return key in self._lane_of

    def depth(self, lane: Lane) -> int:
        """Number of keys in a lane."""
        return sum(map(len, self._lanes[lane].values()))

    def oldest_at(self, lane: Lane) -> float | None:
        """Time at which the oldest key of a lane was added; None without keys."""
        return min((min(keys.values()) for keys in self._lanes[lane].values()), default=None)

    def add(self, key: K, lane: Lane, now: float) -> None:
        """Add a key. One that is in a less urgent lane moves, and keeps its time."""
        before = self._lane_of.get(key)
        if before is not None and before <= lane:
            return
        added_at = self._remove(key) if before is not None else now
        if not self._lanes[lane]:
            self._due[lane] = max(self._due[lane], self._now + 1 / WEIGHTS[lane])
        self._lanes[lane].setdefault(self._team_of(key), {})[key] = added_at
        self._lane_of[key] = lane

    def take(self) -> tuple[K, Lane, float]:
        """Remove the next key. Returns it with its lane and the time at which it was added. Raises IndexError."""
        waiting = [lane for lane in Lane if self._lanes[lane]]
        if not waiting:
            raise IndexError("no key is queued")
        lane = min(waiting, key=lambda each: (self._due[each], each))
        self._now = self._due[lane]
        self._due[lane] += 1 / WEIGHTS[lane]
        team, keys = next(iter(self._lanes[lane].items()))
        key = next(iter(keys))
        added_at = self._remove(key)
        if rest := self._lanes[lane].pop(team, None):
            self._lanes[lane][team] = rest  # behind all other teams
        return key, lane, added_at

    def _remove(self, key: K) -> float:
        lane, team = self._lane_of.pop(key), self._team_of(key)
        keys = self._lanes[lane][team]
        added_at = keys.pop(key)
        if not keys:
            del self._lanes[lane][team]
        return added_at
