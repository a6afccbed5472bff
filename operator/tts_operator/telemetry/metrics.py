"""Prometheus metrics of the operator, served on a separate port."""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tts_operator.cluster.client import Write

RECONCILE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
WAIT_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
LAG_SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300)


class Metrics:
    """Metrics of one operator. Labels are kinds, verbs, condition types and, for costs, namespaces and tenants.

    Two series grow with tenants: the history of which `kubectl tts bill` makes a bill.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "tts_operator_reconciles",
            "Finished reconciles, by kind and result.",
            ["kind", "result"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "tts_operator_reconcile_seconds",
            "Duration of a reconcile, from dequeue to end.",
            ["kind"],
            registry=self.registry,
            buckets=RECONCILE_SECONDS,
        )
        self.queue_depth = Gauge("tts_operator_queue_depth", "Keys queued for a worker.", registry=self.registry)
        self.queue_wait = Gauge(
            "tts_operator_queue_oldest_seconds",
            "Time that the oldest key has been queued.",
            registry=self.registry,
        )
        self.lane_depth = Gauge(
            "tts_operator_queue_lane_depth",
            "Keys queued for a worker, by lane: transition, edit, child, resync.",
            ["lane"],
            registry=self.registry,
        )
        self.lane_wait = Histogram(
            "tts_operator_queue_wait_seconds",
            "Time that a key was queued, by lane.",
            ["lane"],
            registry=self.registry,
            buckets=WAIT_SECONDS,
        )
        self.schedule_lag = Histogram(
            "tts_operator_schedule_lag_seconds",
            "Delay from a schedule's transition to the write that applied it.",
            registry=self.registry,
            buckets=LAG_SECONDS,
        )
        self.conditions = Gauge(
            "tts_operator_tenants",
            "Tenants by condition type and status, at the last full list.",
            ["type", "status"],
            registry=self.registry,
        )
        self.writes = Counter(
            "tts_operator_api_writes",
            "Writes sent to the API server, by verb, kind and result.",
            ["verb", "kind", "result"],
            registry=self.registry,
        )
        self.write_limit = Gauge(
            "tts_operator_api_write_limit",
            "Writes that are sent to the API server at the same time; a 429 halves it.",
            registry=self.registry,
        )
        self.hourly_cost = Gauge(
            "tts_operator_hourly_cost",
            "Hourly cost of the desired replicas of a namespace's tenants, at the last full list. Tenants whose models"
            " have no price are left out.",
            ["namespace"],
            registry=self.registry,
        )
        self.tenant_cost = Gauge(
            "tts_operator_tenant_hourly_cost",
            "Hourly cost of a tenant's desired replicas. Tenants whose models have no price are left out.",
            ["namespace", "tenant"],
            registry=self.registry,
        )
        self.tenant_replicas = Gauge(
            "tts_operator_tenant_replicas",
            "Desired replicas of a tenant, of all its pools.",
            ["namespace", "tenant"],
            registry=self.registry,
        )
        self._billed: set[tuple[str, str]] = set()
        self.waiting = Gauge(
            "tts_operator_tenants_waiting",
            "Tenants queued for the rollout of a change of a model or of the operator.",
            registry=self.registry,
        )
        self.leading = Gauge(
            "tts_operator_leading", "1 while this replica leads and may write, else 0.", registry=self.registry
        )
        self.watch_restarts = Counter(
            "tts_operator_watch_restarts",
            "Restarts of watches that had ended or hung.",
            registry=self.registry,
        )
        self.watch_repairs = Counter(
            "tts_operator_watch_repairs",
            "Changes of objects that a list found and no watch had delivered.",
            registry=self.registry,
        )
        self.watch_age = Gauge(
            "tts_operator_watch_age_seconds",
            "Time since the watch of a kind was last seen to work, by kind: of the worst one if there are several."
            " A watch that works is seen every four seconds.",
            ["kind"],
            registry=self.registry,
        )
        self.namespaces_skipped = Gauge(
            "tts_operator_namespaces_skipped",
            "Namespaces of --watch-namespaces that the operator may not read, and skips.",
            registry=self.registry,
        )
        self.last_repair = Gauge(
            "tts_operator_last_repair_timestamp_seconds",
            "Unix time of the last full list of tenants.",
            registry=self.registry,
        )

        self.time_zones = Info(
            "tts_operator_time_zones",
            "Release of the IANA time zone database by which schedules are evaluated.",
            registry=self.registry,
        )

    def wrote(self, write: Write) -> None:
        """Count one write."""
        self.writes.labels(write.verb, write.kind, "success" if write.succeeded else "error").inc()

    def tenants(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Replace the number of tenants by condition type and status."""
        self.conditions.clear()
        for (type_, status), count in counts.items():
            self.conditions.labels(type_, status).set(count)

    def watch_ages(self, seconds: Mapping[str, float]) -> None:
        """Replace the ages of watches by kind."""
        self.watch_age.clear()
        for kind, age_seconds in seconds.items():
            self.watch_age.labels(kind).set(age_seconds)

    def costs(self, hourly: Mapping[str, float]) -> None:
        """Replace the hourly costs by namespace."""
        self.hourly_cost.clear()
        for namespace, amount in hourly.items():
            self.hourly_cost.labels(namespace).set(amount)

    def bill(self, namespace: str, tenant: str, status: Mapping[str, Any] | None) -> None:
        """Replace cost and replicas of a tenant by those of its status; without one, remove its series."""
        key = (namespace, tenant)
        if status is None:
            self._billed.discard(key)
            for gauge in (self.tenant_cost, self.tenant_replicas):
                self._remove(gauge, key)
            return
        self._billed.add(key)
        self.tenant_replicas.labels(*key).set(sum(int(pool["desired"]) for pool in status.get("pools") or ()))
        cost = status.get("cost")
        if cost:
            self.tenant_cost.labels(*key).set(float(cost["hourly"]))
        else:
            self._remove(self.tenant_cost, key)

    def bill_only(self, tenants: Iterable[tuple[str, str]]) -> None:
        """Remove the series of all tenants but these."""
        for key in self._billed - set(tenants):
            self.bill(*key, None)

    @staticmethod
    def _remove(gauge: Gauge, key: tuple[str, str]) -> None:
        with contextlib.suppress(KeyError):  # it had no series
            gauge.remove(*key)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class Exposition(Protocol):
    """Metrics of one process."""

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""


def metrics_app(metrics: Exposition) -> web.Application:
    """Serves GET /metrics."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    return app
