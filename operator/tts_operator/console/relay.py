"""Passes requests of a playground on to its tenant's Service, through the API server's service proxy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
from aiohttp import web

from tts_operator.cluster.client import Cluster, Request, as_json
from tts_operator.cluster.errors import Unreachable
from tts_operator.console.files import HEADERS
from tts_operator.objects.keys import Key

PATHS: Mapping[str, frozenset[str]] = {
    "v1/models": frozenset({"GET"}),
    "v1/audio/voices": frozenset({"GET"}),
    "v1/usage": frozenset({"GET"}),
    "v1/audio/speech": frozenset({"POST"}),
    "v1/tts/synthesize": frozenset({"POST"}),
}
"""Methods by path that a playground asks of its tenant. Nothing else of a cluster can be reached by way of a page."""
MAX_BODY_BYTES = 2**20
KEY_HEADER = "X-API-Key"
"""Header of the tenant's key: the API server removes `Authorization`, which is its own."""
BEARER = "Bearer "
ANSWERED = ("Retry-After", "WWW-Authenticate", "RateLimit", "RateLimit-Policy")
ANSWERED_PREFIX = "x-"
MAX_STATUS_BYTES = 65_536


class Stream(Protocol):
    """Body of a request or of an answer."""

    async def read(self, n: int = -1) -> bytes:
        """Read at most so many bytes; empty at the end."""


def service_path(key: Key, path: str) -> str:
    """URL path of the API server that leads to a path of the tenant's Service."""
    return f"/api/v1/namespaces/{quote(key.namespace, safe='')}/services/{quote(key.name, safe='')}:http/proxy/{path}"


def onward_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of the request to the tenant: its key, and what the body is."""
    kept = {name: headers[name] for name in ("Content-Type", "Accept") if name in headers}
    authorization = headers.get("Authorization", "")
    if authorization.startswith(BEARER):
        kept[KEY_HEADER] = authorization.removeprefix(BEARER)
    return kept


def answered_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of the answer that a playground reads. Those by which a page is governed are the console's own."""
    return {
        name: value
        for name, value in headers.items()
        if name in ANSWERED or (name.lower().startswith(ANSWERED_PREFIX) and name.lower() != "x-content-type-options")
    }


def refusal_of_api_server(status: int, answer: Any, key: Key) -> str:
    """Sentence for a refusal that is the API server's own; empty for one of the tenant's server."""
    if not isinstance(answer, Mapping) or answer.get("kind") != "Status":
        return ""
    message = str(answer.get("message") or "")
    if status == 403:
        return (
            f"You may not reach the Service {key.namespace}/{key.name} through the API server: ask for `get` and"
            f" `create` of services/proxy in {key.namespace}. {message}"
        )
    if status == 404:
        return f"The tenant has no Service yet. {message}"
    return f"The API server cannot reach the tenant's pods: is one ready? {message}"


async def relay(request: web.Request, cluster: Cluster, key: Key, path: str) -> web.StreamResponse:
    """Answer a request of a playground with what the tenant's Service answers, as it comes."""
    if request.method not in PATHS.get(path, frozenset()):
        return refused(404, "The console passes on what a playground asks, and nothing else.")
    content = await limited(request.content, MAX_BODY_BYTES + 1)
    if len(content) > MAX_BODY_BYTES:
        return refused(413, f"A request of more than {MAX_BODY_BYTES} bytes is not passed on.")
    onward = Request(request.method, service_path(key, path))
    try:
        async with cluster.proxied(onward, onward_headers(request.headers), content) as answer:
            if answer.status >= 300:
                said = as_json(await limited(answer.content, MAX_STATUS_BYTES))
                return _refusal(answer.status, said, answered_headers(answer.headers), key)
            return await _passed_on(request, answer)
    except Unreachable as error:
        return refused(502, f"The API server does not answer: {error}")


async def limited(stream: Stream, most: int) -> bytes:
    """Read a stream to its end, or so many bytes of it."""
    content = b""
    while len(content) < most and (part := await stream.read(most - len(content))):
        content += part
    return content


def _refusal(status: int, said: Any, headers: Mapping[str, str], key: Key) -> web.Response:
    if sentence := refusal_of_api_server(status, said, key):
        return refused(status, sentence)
    if not isinstance(said, dict):
        return refused(502, f"The tenant's Service answered with HTTP status {status} and no JSON.")
    return web.json_response(said, status=status, headers=headers)


async def _passed_on(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers={**answered_headers(answer.headers), **HEADERS})
    response.headers["Content-Type"] = passive(answer.headers.get("Content-Type", ""))
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    except Exception:
        if request.transport is not None:
            request.transport.abort()  # what breaks off does not end as if it were whole
        raise
    return response


def passive(kind: str) -> str:
    """Type of an answer, which must be sound or JSON: a tenant's server does not write pages of the console."""
    plain = kind.partition(";")[0].strip().lower()
    return kind if plain.startswith("audio/") or plain == "application/json" else "application/octet-stream"


def refused(status: int, message: str) -> web.Response:
    """An error in the form of the tenant's server, which a playground shows."""
    body = json.dumps({"error": {"message": message, "type": "console_error", "param": None}})
    return web.Response(status=status, text=body, content_type="application/json")
