"""What the server says about itself: metrics on a port of their own, and one JSON line per fact.

Neither ever holds a caller's text, a key or a token. Labels come from configured names only: what a caller made up is
the empty string, so that nobody can fill the monitoring's memory.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

log = structlog.get_logger(__name__)

LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, float("inf"))
"""Seconds. 2 and 3 are what tenants are promised."""
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, float("inf"))
UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Timings:
    """What one tenant's requests to one model are measured by."""

    latency: Histogram
    first_audio: Histogram
    first_byte: Histogram
    audio_seconds: Counter


Series = TypeVar("Series", Counter, Gauge, Histogram)


class Labelled(Generic[Series]):
    """A metric's series by their labels, found by one look: the library's own way costs more than the counting."""

    def __init__(self, metric: Series) -> None:
        self._metric: Series = metric
        self._known: dict[tuple[str, ...], Series] = {}

    def __call__(self, *labels: str) -> Series:
        known = self._known.get(labels)
        if known is None:
            known = self._known[labels] = self._metric.labels(*labels)
        return known


class Metrics:
    """Everything Prometheus reads, in a registry of this server's own."""

    def __init__(self) -> None:
        # One series more for each counter, which nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no annotation for it
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tts_requests", "Speech requests that were answered.", ("tenant", "model", "voice", "status_code"),
            registry=self.registry,
        )  # fmt: skip
        self.replies_cut = Counter(
            "tts_replies_cut", "Speech that broke off after its beginning, by the error's code.",
            ("tenant", "model", "reason"), registry=self.registry,
        )  # fmt: skip
        self.latency = self._seconds("tts_request_latency_seconds", "From the request to the last byte of its answer.")
        self.first_audio = self._seconds("tts_first_audio_seconds", "From the request to the engine's first sound.")
        self.first_byte = self._seconds("tts_first_byte_seconds", "From the request to the first byte of audio sent.")
        self.audio_seconds = Counter(
            "tts_audio_seconds",
            "Seconds of audio that were spoken and sent; not the cache's.",
            ("tenant", "model"),
            registry=self.registry,
        )
        self.inflight = Gauge(
            "tts_inflight_requests", "Speech requests being served now.", ("tenant",), registry=self.registry
        )
        self.engine_restarts = Counter(
            "tts_engine_restarts", "Engine processes that were replaced.", ("model", "reason"), registry=self.registry
        )
        self.segment_retries = Counter(
            "tts_segment_retries", "Segments spoken twice: the engine failed after audio was sent.", ("model",),
            registry=self.registry,
        )  # fmt: skip
        self.breaker_state = Gauge(
            "tts_breaker_state", "Of each engine's breaker: 0 closed, 1 half-open, 2 open.", ("model",),
            registry=self.registry,
        )  # fmt: skip
        self.fallbacks = Counter(
            "tts_fallbacks", "Replies that another model spoke, by the model that could not.", ("model", "reason"),
            registry=self.registry,
        )  # fmt: skip
        self.queue_depth = Gauge(
            "tts_queue_depth", "Utterances that wait for an engine.", ("tenant", "model"), registry=self.registry
        )
        self.queue_wait = Histogram(
            "tts_queue_wait_seconds", "What utterances waited for an engine.", ("tenant", "model"),
            buckets=LATENCY_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.batch_size = Histogram(
            "tts_batch_size", "Utterances that an engine which batches was given at once.", ("model",),
            buckets=BATCH_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.quota_remaining = Gauge(
            "tts_quota_remaining", "What is left of each limit, as this replica counts.", ("tenant", "quota"),
            registry=self.registry,
        )  # fmt: skip
        self.unkept_audio = Counter(
            "tts_unkept_audio", "Replies without a link: the store did not take their audio.", ("tenant",),
            registry=self.registry,
        )  # fmt: skip
        self.cache_requests = Counter(
            "tts_cache_requests", "Requests by what became of them: hit, shared (spoken already), miss.", ("outcome",),
            registry=self.registry,
        )  # fmt: skip
        self.cache_bytes = Gauge("tts_cache_bytes", "Audio cached in memory.", registry=self.registry)
        self.cache_entries = Gauge("tts_cache_entries", "Recordings cached in memory.", registry=self.registry)
        self.quota_refusals = Counter(
            "tts_quota_refusals", "Requests refused with 429, by the limit that was used up.", ("tenant", "quota"),
            registry=self.registry,
        )  # fmt: skip
        self.quota_store_up = Gauge(
            "tts_quota_store_up", "1 while the shared counters answer; 0 while this replica counts alone.",
            ("tenant",), registry=self.registry,
        )  # fmt: skip
        self.config_loads = Counter(
            "tts_config_loads", "Configuration files read, by outcome.", ("file", "outcome"), registry=self.registry
        )
        self.auth_failures = Counter(
            "tts_auth_failures", "Credentials that were refused, by the error's code.", ("code",),
            registry=self.registry,
        )  # fmt: skip

        self.requests_of = Labelled(self.requests)
        self.inflight_of = Labelled(self.inflight)
        self.queue_depth_of = Labelled(self.queue_depth)
        self.queue_wait_of = Labelled(self.queue_wait)
        self.cache_requests_of = Labelled(self.cache_requests)
        self._timings: dict[tuple[str, str], Timings] = {}

    def timings(self, tenant: str, model: str) -> Timings:
        """Found by one look: the labels of four metrics cost more than what they count."""
        known = self._timings.get((tenant, model))
        if known is None:
            known = self._timings[tenant, model] = Timings(
                self.latency.labels(tenant, model),
                self.first_audio.labels(tenant, model),
                self.first_byte.labels(tenant, model),
                self.audio_seconds.labels(tenant, model),
            )
        return known

    def _seconds(self, name: str, documentation: str) -> Histogram:
        return Histogram(name, documentation, ("tenant", "model"), buckets=LATENCY_BUCKETS, registry=self.registry)
