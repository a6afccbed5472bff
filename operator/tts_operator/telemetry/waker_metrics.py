"""Prometheus metrics of the waker."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

HOLD_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)


class WakerMetrics:
    """Metrics of one waker. Their number does not grow with tenants."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tts_waker_requests",
            "Requests, by their end: passed to a replica, or the code of the waker's own error.",
            ["result"],
            registry=self.registry,
        )
        self.held = Gauge("tts_waker_requests_in_flight", "Requests held or passed on now.", registry=self.registry)
        self.hold = Histogram(
            "tts_waker_hold_seconds",
            "Time for which a request that was passed on had waited for a replica.",
            registry=self.registry,
            buckets=HOLD_SECONDS,
        )
        self.wakes = Counter(
            "tts_waker_wakes", "Requests for a replica that were written to a TTSTenant.", registry=self.registry
        )
        self.tenants = Gauge("tts_waker_tenants", "Tenants that have a port of the waker.", registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)
