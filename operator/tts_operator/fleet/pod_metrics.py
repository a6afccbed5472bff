"""Metrics of the pods of tenants, as one reading, and what happened between two of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from tts_operator.fleet.api_proxy import APIProxy
from tts_operator.fleet.histogram import quantile
from tts_operator.fleet.kubectl import KubectlError
from tts_operator.fleet.tenant_view import Body
from tts_operator.objects.keys import Key
from tts_operator.objects.labels import TENANT_LABEL
from tts_server.config.schema import METRICS_PORT

THREADS = 16
POD_SECONDS = 5.0
SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
REQUESTS = "tts_requests_total"
REFUSALS = "tts_quota_refusals_total"
BUCKETS = "tts_request_latency_seconds_bucket"
IN_FLIGHT = "tts_inflight_requests"
QUEUED = "tts_queue_depth"
LEFT, LIMIT = "tts_quota_remaining", "tts_quota_limit"
ENTRY = "tts_entry_pool"
WANTED = frozenset({REQUESTS, REFUSALS, BUCKETS, IN_FLIGHT, QUEUED, LEFT, LIMIT, ENTRY})
COUNTERS = frozenset({REQUESTS, REFUSALS, BUCKETS})

Labels = tuple[tuple[str, str], ...]
Samples = Mapping[tuple[str, Labels], float]
"""Value of each sample, by its name and labels."""


class PodName(NamedTuple):
    """One pod, with the tenant that its label names."""

    tenant: Key
    name: str
    uid: str


@dataclass(frozen=True)
class Reading:
    """Metrics of pods at one time."""

    at_seconds: float
    pods: Mapping[PodName, Samples]
    failures: Mapping[str, int] = field(default_factory=dict)
    """Number of pods that could not be read, by reason."""


@dataclass(frozen=True)
class Activity:
    """Requests of a tenant between two readings."""

    requests_per_second: float
    refusals_per_second: float
    p95_seconds: float | None
    """Unset if no request ended."""
    in_flight: int
    queued: int
    quota: tuple[str, float] | None
    """The limit of which the smallest part is left, and that part from 0 to 1; None without limits."""


def parse(text: str) -> dict[tuple[str, Labels], float]:
    """Samples in the text format of Prometheus; only those that a reading needs."""
    samples = {}
    for line in text.splitlines():
        if line.partition("{")[0].partition(" ")[0] in WANTED and (found := SAMPLE.fullmatch(line)):
            name, labels, value = found.groups()
            samples[name, tuple(LABEL.findall(labels or ""))] = float(value)
    return samples


def running_pods(pods: Iterable[Body]) -> list[PodName]:
    """Pods of tenants that have an address."""
    return [
        PodName(
            Key(pod["metadata"]["namespace"], pod["metadata"]["labels"][TENANT_LABEL]),
            pod["metadata"]["name"],
            pod["metadata"]["uid"],
        )
        for pod in pods
        if TENANT_LABEL in (pod["metadata"].get("labels") or {})
        and (pod.get("status") or {}).get("podIP")
        and (pod.get("status") or {}).get("phase") == "Running"
    ]


def read(proxy: APIProxy, pods: Sequence[PodName], at_seconds: float) -> Reading:
    """Read all pods at once, through the API server."""
    found: dict[PodName, Samples] = {}
    failures: Counter[str] = Counter()
    with ThreadPoolExecutor(THREADS) as pool:
        for pod, samples in zip(pods, pool.map(lambda pod: _samples(proxy, pod), pods), strict=True):
            if isinstance(samples, str):
                failures[samples] += 1
            else:
                found[pod] = samples
    return Reading(at_seconds, found, failures)


def _samples(proxy: APIProxy, pod: PodName) -> Samples | str:
    """Samples of one pod, or why they cannot be read."""
    path = f"/api/v1/namespaces/{pod.tenant.namespace}/pods/{pod.name}:{METRICS_PORT}/proxy/metrics"
    try:
        reply = proxy.get(path, POD_SECONDS)
    except KubectlError:
        return "no answer"
    if reply.status == 403:
        return "no right to pods/proxy"
    return parse(reply.body.decode()) if reply.status == 200 else f"answered {reply.status}"


def activities(before: Reading, after: Reading) -> dict[Key, Activity]:
    """Activity of each tenant between the readings. A pod that is new counts from its start."""
    seconds = max(after.at_seconds - before.at_seconds, 1e-9)
    pods: defaultdict[Key, list[tuple[Samples, Samples]]] = defaultdict(list)
    for pod, samples in after.pods.items():
        pods[pod.tenant].append((before.pods.get(pod, {}), samples))
    return {tenant: _activity(pairs, seconds) for tenant, pairs in pods.items()}


def _activity(pairs: Sequence[tuple[Samples, Samples]], seconds: float) -> Activity:
    requests = refusals = 0.0
    in_flight = queued = 0.0
    buckets: defaultdict[float, float] = defaultdict(float)
    quotas: list[tuple[str, float]] = []
    for old, new in pairs:
        queued += sum(value for (name, _), value in new.items() if name == QUEUED)
        if new.get((ENTRY, ()), 1.0) == 0:  # its requests are parts of those of the entry pool
            continue
        for (name, labels), grown in increases(old, new):
            if name == REQUESTS:
                requests += grown
            elif name == REFUSALS:
                refusals += grown
            elif name == BUCKETS:
                buckets[float(dict(labels)["le"])] += grown
        in_flight += sum(value for (name, _), value in new.items() if name == IN_FLIGHT)
        quotas += quotas_left(new)
    return Activity(
        requests / seconds,
        refusals / seconds,
        quantile(0.95, buckets),
        int(in_flight),
        int(queued),
        min(quotas, key=lambda each: each[1], default=None),
    )


def increases(old: Samples, new: Samples) -> Iterator[tuple[tuple[str, Labels], float]]:
    """Growth of each counter; one that is lower than before has begun anew."""
    for key, value in new.items():
        if key[0] in COUNTERS:
            before = old.get(key, 0.0)
            yield key, value - before if value >= before else value


def quotas_left(samples: Samples) -> Iterator[tuple[str, float]]:
    """Name of each limit and the part of it that is left."""
    for (name, labels), left in samples.items():
        limit = samples.get((LIMIT, labels), 0.0)
        if name == LEFT and limit > 0:
            yield dict(labels)["quota"], max(0.0, min(1.0, left / limit))
