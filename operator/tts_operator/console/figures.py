"""Reads the metrics of tenants' pods through the API server, for the tenants that a page shows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster, Request, as_json, collect
from tts_operator.cluster.errors import ClusterError, Forbidden, Unreachable, error_of
from tts_operator.console.relay import limited
from tts_operator.console.scrape import Reading, figures, reading
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import POD
from tts_operator.objects.labels import selector
from tts_operator.objects.manifest import Body
from tts_server.config.schema import METRICS_PORT

FRESH_SECONDS = 10.0
"""Age up to which figures are given again without another reading, seconds."""
SPAN_SECONDS = 300.0
"""Longest span that rates are computed over, seconds."""
MAX_CONCURRENT_TENANTS = 8
"""Tenants that are read at the same time."""
PODS_READ = 20
"""Most pods of a tenant that are read."""
MAX_BYTES = 2 * 2**20
SILENCE_SECONDS = 4.0
DENIED_SECONDS = 120.0
"""Time for which a namespace that forbids it is not asked again, seconds."""


class Figures:
    """Figures of tenants, by what their pods have counted."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._readings: dict[Key, deque[tuple[float, Reading]]] = {}
        self._answers: dict[Key, tuple[float, dict[str, Any]]] = {}
        self._denied: dict[str, tuple[float, str]] = {}
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_TENANTS)

    async def of(self, keys: Iterable[Key]) -> dict[str, dict[str, Any]]:
        """Figures by tenant; an entry with `problem` says why there are none."""
        wanted = list(dict.fromkeys(keys))
        return dict(zip(map(str, wanted), await asyncio.gather(*map(self._of, wanted)), strict=True))

    async def _of(self, key: Key) -> dict[str, Any]:
        async with self._slots:
            now = self._clock.monotonic()
            at, answer = self._answers.get(key, (now - FRESH_SECONDS, {}))
            if now - at < FRESH_SECONDS:
                return answer
            until, why = self._denied.get(key.namespace, (now, ""))
            if now < until:
                return {"problem": why}
            answer = await self._read(key)
            self._answers[key] = (now, answer)
            return answer

    async def _read(self, key: Key) -> dict[str, Any]:
        try:
            pods = list(ready_pods(await collect(self._cluster.list(POD, key.namespace, selector(key.name)))))
            if not pods:
                return {"problem": "No pod is ready."}
            texts = await asyncio.gather(*(self._text(pod) for pod in pods[:PODS_READ]))
            now, latest = self._clock.monotonic(), reading(texts)
        except Forbidden as error:
            why = f"Metrics of pods need `list` of pods and `get` of pods/proxy in {key.namespace}: {error.message}"
            self._denied[key.namespace] = (self._clock.monotonic() + DENIED_SECONDS, why)
            return {"problem": why}
        except (ClusterError, ValueError) as error:
            return {"problem": f"The metrics of the pods cannot be read: {error}"}
        past = self._readings.setdefault(key, deque())
        while past and now - past[0][0] > SPAN_SECONDS:
            past.popleft()
        since, before = past[0] if past else (now, None)
        past.append((now, latest))
        return figures(before, latest, now - since)

    async def _text(self, pod: Body) -> str:
        name, namespace = str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"])
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}:{metrics_port(pod)}/proxy/metrics"
        request = Request("GET", path)
        async with self._cluster.proxied(request, {"Accept": "text/plain"}, silence_seconds=SILENCE_SECONDS) as answer:
            content = await limited(answer.content, MAX_BYTES)
            if answer.status >= 400:
                raise error_of(answer.status, as_json(content))
            if len(content) >= MAX_BYTES:
                raise Unreachable(f"{name}: the metrics are larger than {MAX_BYTES} bytes")
            return content.decode("utf-8", "replace")


def ready_pods(pods: Iterable[Body]) -> Iterator[Body]:
    """Pods that are ready."""
    for pod in pods:
        conditions = (pod.get("status") or {}).get("conditions") or ()
        if any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions):
            yield pod


def metrics_port(pod: Body) -> int:
    """Port of a pod's metrics."""
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or ()]
    named = (port.get("containerPort") for port in ports if port.get("name") == "metrics")
    return int(next(named, None) or METRICS_PORT)
