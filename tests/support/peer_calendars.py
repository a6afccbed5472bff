"""Rules by which other schedulers of replicas read a calendar, each written anew from what its project publishes.

They say what is asked for at an instant; none of the programs runs. Sources, as of November 2026:

- KEDA's cron scaler (kedacore/keda, pkg/scalers/cron_scaler.go, and its page "Cron"): active while the next `end` comes
  before the next `start`. Cron fires at each minute at which the local clock shows its time.
- py-kube-downscaler (caas-team/py-kube-downscaler, kube_downscaler/helper.py): up while the local weekday and the local
  minute are within [from, to) of a time spec; a `from` later than its `to` never matches.
- AIBrix (vllm-project/aibrix, api/autoscaling/v1alpha1/podautoscaler_types.go): `schedules` with [startTime, endTime)
  of one day in HH:MM to 23:59, which must not cross midnight; they replace the minimum and the maximum.
- GPUStack (gpustack/gpustack, gpustack/server/scaling_scheduler.py): a rule holds for `duration_seconds` of elapsed
  time after its cron fired, in the platform's time zone; of several the one that began last. A number of replicas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo


class Replicas(NamedTuple):
    """Bounds that are asked for; both are equal where a number is set."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}" if self.least == self.most else f"{self.least}-{self.most}"


class Hours(NamedTuple):
    """Hours of every day with replicas of their own."""

    start: str
    end: str
    replicas: Replicas


@dataclass(frozen=True)
class KedaCron:
    """A ScaledObject with cron triggers; `minReplicaCount` and `maxReplicaCount` hold at all times."""

    bounds: Replicas
    triggers: Sequence[Hours]

    def at(self, instant: datetime, zone: ZoneInfo) -> Replicas:
        active = [each.replicas.least for each in self.triggers if self._is_active(each, instant, zone)]
        return Replicas(min(max([self.bounds.least, *active]), self.bounds.most), self.bounds.most)

    @staticmethod
    def _is_active(trigger: Hours, instant: datetime, zone: ZoneInfo) -> bool:
        return _next_fire(trigger.end, instant, zone) < _next_fire(trigger.start, instant, zone)


def _next_fire(clock: str, instant: datetime, zone: ZoneInfo) -> datetime:
    """The first whole minute after an instant at which the local clock shows a time."""
    minute = instant.astimezone(UTC).replace(second=0, microsecond=0)
    while True:
        minute += timedelta(minutes=1)
        if f"{minute.astimezone(zone):%H:%M}" == clock:
            return minute


@dataclass(frozen=True)
class KubeDownscaler:
    """An HPA whose minimum is lowered outside of its uptime; its maximum stays."""

    bounds: Replicas
    downtime_replicas: int
    uptime: Sequence[tuple[str, str]]

    def at(self, instant: datetime, zone: ZoneInfo) -> Replicas:
        clock = f"{instant.astimezone(zone):%H:%M}"
        up = any(start <= clock < end for start, end in self.uptime)
        return self.bounds if up else Replicas(self.downtime_replicas, self.bounds.most)


@dataclass(frozen=True)
class AIBrix:
    """A PodAutoscaler with schedules; the first that matches replaces the bounds."""

    bounds: Replicas
    schedules: Sequence[Hours]

    def __post_init__(self) -> None:
        for each in self.schedules:
            if not each.start < each.end < "24:00":
                raise ValueError(f"AIBrix takes no schedule from {each.start} to {each.end}")

    def at(self, instant: datetime, zone: ZoneInfo) -> Replicas:
        clock = f"{instant.astimezone(zone):%H:%M}"
        return next((each.replicas for each in self.schedules if each.start <= clock < each.end), self.bounds)


class Rule(NamedTuple):
    """A rule of GPUStack that begins each day."""

    start: str
    duration_seconds: int
    replicas: int


@dataclass(frozen=True)
class GPUStack:
    """A scaling schedule: a baseline, and rules of an exact number of replicas."""

    baseline_replicas: int
    rules: Sequence[Rule]

    def at(self, instant: datetime, zone: ZoneInfo) -> Replicas:
        active = []
        for rule in self.rules:
            began = self._began(rule, instant, zone)
            if instant < began + timedelta(seconds=rule.duration_seconds):
                active.append((began, rule.replicas))
        number = max(active)[1] if active else self.baseline_replicas
        return Replicas(number, number)

    @staticmethod
    def _began(rule: Rule, instant: datetime, zone: ZoneInfo) -> datetime:
        """When the rule last began. Of a time that is shown twice the earlier one counts."""
        today = instant.astimezone(zone).date()
        clock = time.fromisoformat(rule.start)
        days = (today - timedelta(days=back) for back in range(3))
        starts = (datetime.combine(day, clock, zone).astimezone(UTC) for day in days)
        return next(start for start in starts if start <= instant)
