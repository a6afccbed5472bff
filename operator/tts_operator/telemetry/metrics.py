"""What the operator tells Prometheus about itself, on a port of its own."""

from collections.abc import Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tts_operator.cluster.client import Write

RECONCILE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LAG_SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300)


class Metrics:
    """One operator's. Labels are kinds, verbs and condition types: bounded, whatever tenants are called."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "tts_operator_reconciles",
            "Reconciles that ended, by kind and result.",
            ["kind", "result"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "tts_operator_reconcile_seconds",
            "Time from taking a key off the queue to the end of its reconcile.",
            ["kind"],
            registry=self.registry,
            buckets=RECONCILE_SECONDS,
        )
        self.queue_depth = Gauge("tts_operator_queue_depth", "Keys that wait for a worker.", registry=self.registry)
        self.queue_wait = Gauge(
            "tts_operator_queue_oldest_seconds",
            "How long the key has waited that waits longest.",
            registry=self.registry,
        )
        self.schedule_lag = Histogram(
            "tts_operator_schedule_lag_seconds",
            "From the instant of a schedule's transition to the write that made it.",
            registry=self.registry,
            buckets=LAG_SECONDS,
        )
        self.conditions = Gauge(
            "tts_operator_tenants",
            "Tenants by condition, at the last full list.",
            ["type", "status"],
            registry=self.registry,
        )
        self.writes = Counter(
            "tts_operator_api_writes",
            "Writes sent to the API server.",
            ["verb", "kind", "result"],
            registry=self.registry,
        )
        self.waiting = Gauge(
            "tts_operator_tenants_waiting",
            "Tenants whose turn to take a change of a model or of the operator has not come.",
            registry=self.registry,
        )
        self.leading = Gauge("tts_operator_leading", "1 while this replica may write.", registry=self.registry)
        self.last_repair = Gauge(
            "tts_operator_last_repair_timestamp_seconds", "When all tenants were last listed.", registry=self.registry
        )

    def wrote(self, write: Write) -> None:
        """Count one write."""
        self.writes.labels(write.verb, write.kind, "success" if write.succeeded else "error").inc()

    def tenants(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Replace the number of tenants by condition type and status."""
        self.conditions.clear()
        for (type_, status), count in counts.items():
            self.conditions.labels(type_, status).set(count)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)


def metrics_app(metrics: Metrics) -> web.Application:
    """Answers GET /metrics."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    return app
