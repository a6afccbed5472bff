"""Metrics of the server, in Prometheus's format.

Labels are configured names only: a name that a caller made up becomes the empty string, so that callers cannot create
series without end.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

log = structlog.get_logger(__name__)

LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, float("inf"))
"""Upper bounds in seconds. Tenants are promised 2 and 3."""
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, float("inf"))
UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Timings:
    """Histograms labelled with tenant and model."""

    latency: Histogram
    first_audio: Histogram
    first_byte: Histogram
    audio_seconds: Counter


Series = TypeVar("Series", Counter, Gauge, Histogram)


class Labelled(Generic[Series]):
    """Series of a metric by their labels, cached: the library's own lookup costs more than the increment."""

    def __init__(self, metric: Series) -> None:
        self._metric: Series = metric
        self._series: dict[tuple[str, ...], Series] = {}

    def __call__(self, *labels: str) -> Series:
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = self._metric.labels(*labels)
        return series

    def remove(self, *labels: str) -> None:
        """Remove a series, if there is one."""
        if self._series.pop(labels, None) is not None:
            self._metric.remove(*labels)

    def forget(self, first: str) -> None:
        """Drop the series whose first label has this value from the cache."""
        for labels in [labels for labels in self._series if labels[0] == first]:
            del self._series[labels]


class Metrics:
    """All metrics, in a registry of this server's own."""

    def __init__(self) -> None:
        # They would add a series to each counter.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no annotation for it
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tts_requests", "Speech requests answered.", ("tenant", "model", "voice", "status_code"),
            registry=self.registry,
        )  # fmt: skip
        self.replies_cut = Counter(
            "tts_replies_cut", "Responses cut after their first byte, by error code.",
            ("tenant", "model", "reason"), registry=self.registry,
        )  # fmt: skip
        self.latency = self._seconds(
            "tts_request_latency_seconds", "Time from the request to the last byte of the response."
        )
        self.first_audio = self._seconds(
            "tts_first_audio_seconds", "Time from the request to the engine's first audio."
        )
        self.first_byte = self._seconds(
            "tts_first_byte_seconds", "Time from the request to the first byte of audio sent."
        )
        self.audio_seconds = Counter(
            "tts_audio_seconds",
            "Seconds of audio synthesized and sent, without cached audio.",
            ("tenant", "model"),
            registry=self.registry,
        )
        self.inflight = Gauge(
            "tts_inflight_requests", "Speech requests in flight.", ("tenant",), registry=self.registry
        )
        self.engine_restarts = Counter(
            "tts_engine_restarts", "Engine processes restarted, by reason.", ("model", "reason"), registry=self.registry
        )
        self.segment_retries = Counter(
            "tts_segment_retries", "Segments synthesized again, because the engine failed after audio was sent.",
            ("model",), registry=self.registry,
        )  # fmt: skip
        self.unread_numbers = Counter(
            "tts_unread_numbers", "Parts of texts whose numbers could not be written in words, by reason.",
            ("model", "reason"), registry=self.registry,
        )  # fmt: skip
        self.breaker_state = Gauge(
            "tts_breaker_state", "State of each engine's circuit breaker: 0 closed, 1 half-open, 2 open.", ("model",),
            registry=self.registry,
        )  # fmt: skip
        self.fallbacks = Counter(
            "tts_fallbacks", "Responses by a fallback model, by the model that failed.", ("model", "reason"),
            registry=self.registry,
        )  # fmt: skip
        self.remote_requests = Counter(
            "tts_remote_requests", "Requests to a model's speech server, by outcome: ok, cancelled, or the fault.",
            ("model", "outcome"), registry=self.registry,
        )  # fmt: skip
        self.queue_depth = Gauge(
            "tts_queue_depth", "Utterances queued for an engine.", ("tenant", "model"), registry=self.registry
        )
        self.queue_wait = Histogram(
            "tts_queue_wait_seconds", "Time that utterances waited for an engine.", ("tenant", "model"),
            buckets=LATENCY_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.batch_size = Histogram(
            "tts_batch_size", "Utterances in each batch.", ("model",),
            buckets=BATCH_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.quota_remaining = Gauge(
            "tts_quota_remaining", "Remaining amount of each limit, as this replica knows it.", ("tenant", "quota"),
            registry=self.registry,
        )  # fmt: skip
        self.quota_limit = Gauge(
            "tts_quota_limit", "Amount of each limit, of which tts_quota_remaining is left.", ("tenant", "quota"),
            registry=self.registry,
        )  # fmt: skip
        self.unkept_audio = Counter(
            "tts_unkept_audio", "Responses without a link, because the audio could not be stored.", ("tenant",),
            registry=self.registry,
        )  # fmt: skip
        self.cache_requests = Counter(
            "tts_cache_requests", "Requests by outcome: hit, shared (joined a running synthesis), miss.", ("outcome",),
            registry=self.registry,
        )  # fmt: skip
        self.cache_bytes = Gauge("tts_cache_bytes", "Bytes of audio cached in memory.", registry=self.registry)
        self.cache_entries = Gauge("tts_cache_entries", "Entries cached in memory.", registry=self.registry)
        self.quota_refusals = Counter(
            "tts_quota_refusals", "Requests refused with 429, by the limit that had no room.", ("tenant", "quota"),
            registry=self.registry,
        )  # fmt: skip
        self.quota_store_up = Gauge(
            "tts_quota_store_up", "1 while the shared store answers; 0 while this replica uses local limits.",
            ("tenant",), registry=self.registry,
        )  # fmt: skip
        self.entry_pool = Gauge(
            "tts_entry_pool",
            "1 where clients call this server; 0 where other pools do, for segments of their requests.",
            registry=self.registry,
        )
        self.config_loads = Counter(
            "tts_config_loads",
            "Configuration files loaded, by outcome: taken, refused.",
            ("file", "outcome"),
            registry=self.registry,
        )
        self.auth_failures = Counter(
            "tts_auth_failures", "Credentials refused, by error code.", ("code",),
            registry=self.registry,
        )  # fmt: skip

        self.requests_of = Labelled(self.requests)
        self.inflight_of = Labelled(self.inflight)
        self.queue_depth_of = Labelled(self.queue_depth)
        self.queue_wait_of = Labelled(self.queue_wait)
        self.quota_remaining_of = Labelled(self.quota_remaining)
        self.quota_limit_of = Labelled(self.quota_limit)
        self.cache_requests_of = Labelled(self.cache_requests)
        self._timings: dict[tuple[str, str], Timings] = {}

    def timings(self, tenant: str, model: str) -> Timings:
        """Return four series, cached: their labels cost more than the increments."""
        timings = self._timings.get((tenant, model))
        if timings is None:
            timings = self._timings[tenant, model] = Timings(
                self.latency.labels(tenant, model),
                self.first_audio.labels(tenant, model),
                self.first_byte.labels(tenant, model),
                self.audio_seconds.labels(tenant, model),
            )
        return timings

    def forget(self, tenant: str) -> None:
        """Remove every series of a tenant that this pool serves no more."""
        for metric in (
            self.requests, self.replies_cut, self.latency, self.first_audio, self.first_byte, self.audio_seconds,
            self.inflight, self.queue_depth, self.queue_wait, self.quota_remaining, self.quota_limit, self.unkept_audio,
            self.quota_refusals, self.quota_store_up,
        ):  # fmt: skip
            metric.remove_by_labels({"tenant": tenant})
        for labelled in (
            self.requests_of, self.inflight_of, self.queue_depth_of, self.queue_wait_of, self.quota_remaining_of,
            self.quota_limit_of,
        ):  # fmt: skip
            labelled.forget(tenant)
        for tenant_and_model in [key for key in self._timings if key[0] == tenant]:
            del self._timings[tenant_and_model]

    def _seconds(self, name: str, documentation: str) -> Histogram:
        return Histogram(name, documentation, ("tenant", "model"), buckets=LATENCY_BUCKETS, registry=self.registry)
