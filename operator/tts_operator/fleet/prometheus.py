"""Instant queries of a Prometheus, by its URL or as a Service of the cluster through the API server."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from tts_operator.fleet.api_proxy import api_proxy
from tts_operator.fleet.kubectl import Kubectl, KubectlError

QUERY_SECONDS = 120.0
SERVICE = re.compile(r"([a-z0-9-]+)/([a-z0-9-]+):([a-z0-9-]+)")
"""Namespace, Service and port, by number or name."""
Get = Callable[[str], bytes]


class PrometheusError(KubectlError):
    """Reason why a query failed: a sentence that says what to change."""


@dataclass(frozen=True)
class Series:
    """One series of an instant query."""

    labels: Mapping[str, str]
    value: Decimal


class Prometheus:
    """Sends queries with `get`, which takes a path with its query and returns the body."""

    def __init__(self, get: Get) -> None:
        self._get = get

    def query(self, expression: str, at: datetime) -> list[Series]:
        """Evaluate an expression at an instant. Raises PrometheusError."""
        path = f"/api/v1/query?{urlencode({'query': expression, 'time': f'{at.timestamp():.3f}'})}"
        try:
            said: Any = json.loads(self._get(path))
            results = said["data"]["result"]
        except (ValueError, KeyError, TypeError) as error:
            raise PrometheusError("--prometheus: the answer is not that of a Prometheus") from error
        return [Series(each["metric"], Decimal(each["value"][1])) for each in results]


@contextmanager
def prometheus(kubectl: Kubectl, address: str) -> Iterator[Prometheus]:
    """Give a Prometheus by its URL, or by NAMESPACE/SERVICE:PORT. Raises PrometheusError."""
    if address.startswith(("http://", "https://")):
        base = address.rstrip("/")
        yield Prometheus(lambda path: _fetch(base + path))
        return
    found = SERVICE.fullmatch(address)
    if found is None:
        raise PrometheusError(
            f"--prometheus {address}: write a URL, or NAMESPACE/SERVICE:PORT such as"
            " monitoring/prometheus-operated:9090"
        )
    namespace, service, port = found.groups()
    with api_proxy(kubectl) as proxy:

        def through(path: str) -> bytes:
            reply = proxy.get(f"/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy{path}", QUERY_SECONDS)
            if reply.status != 200:
                raise PrometheusError(f"--prometheus {address}: {reply.status}, {_sentence(reply.body)}")
            return reply.body

        yield Prometheus(through)


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=QUERY_SECONDS) as response:  # noqa: S310 - http or https: see above
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as error:
        raise PrometheusError(f"--prometheus: {error.code}, {_sentence(error.read())}") from None
    except (OSError, ValueError) as error:
        raise PrometheusError(f"--prometheus: {getattr(error, 'reason', None) or error}") from None


def _sentence(body: bytes) -> str:
    """Sentence of Prometheus, or of the API server, about a failure."""
    try:
        said = json.loads(body)
        return str(said.get("error") or said.get("message") or "no reason given")
    except (ValueError, AttributeError):
        return " ".join(body[:200].decode(errors="replace").split()) or "no reason given"
