"""HTTP of the console: the page, what happens in the cluster as server-sent events, and the way to tenants' speech."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from tts_operator.cluster.client import Cluster
from tts_operator.console.access import Access
from tts_operator.console.figures import Figures
from tts_operator.console.files import CONSOLE, HEADERS, PLAYGROUND, File, playground_page
from tts_operator.console.fleet import Fleet
from tts_operator.console.relay import refused, relay
from tts_operator.console.tenant_page import read_tenant
from tts_operator.objects.keys import Key

COALESCE_SECONDS = 0.15
"""Time for which changes are collected before pages hear of them, seconds."""
KEEP_ALIVE_SECONDS = 15.0
MOST_FIGURES = 100
"""Most tenants that one request may ask figures of."""


@dataclass(frozen=True)
class Parts:
    """Everything that requests share."""

    access: Access
    cluster: Cluster
    fleet: Fleet
    figures: Figures
    title: str
    """Context of the kubeconfig, and its API server."""


def application(parts: Parts) -> web.Application:
    """The console as an application of aiohttp."""
    handlers = _Handlers(parts)
    app = web.Application(middlewares=[handlers.guard()])
    app.add_routes(
        [
            web.get("/{token}/", handlers.page),
            web.get("/{token}/page/{name}", handlers.file),
            web.get("/{token}/events", handlers.events),
            web.get("/{token}/about", handlers.about),
            web.get("/{token}/figures", handlers.figures),
            web.get("/{token}/tenants/{namespace}/{name}", handlers.tenant),
            web.get("/{token}/speak/{namespace}/{name}/", handlers.playground),
            web.get("/{token}/speak/{namespace}/{name}/playground/{file}", handlers.playground_file),
            web.route("*", "/{token}/speak/{namespace}/{name}/{path:v1/.+}", handlers.speak),
        ]
    )
    return app


class _Handlers:
    """One handler for each route."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def guard(self) -> Middleware:
        """Middleware that answers strangers itself, and gives every answer its headers."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            refusal = self._parts.access.refusal(request.method, request.path, request.headers)
            if refusal:
                return web.Response(status=403, text=f"{refusal}\n", headers=HEADERS)
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = web.Response(status=error.status, text=f"{error.reason}\n")
            if not response.prepared:
                response.headers.update(HEADERS)
            return response

        return guard

    async def page(self, _: web.Request) -> web.StreamResponse:
        return _file(CONSOLE["index.html"])

    async def file(self, request: web.Request) -> web.StreamResponse:
        return _file(CONSOLE.get(request.match_info["name"]))

    async def about(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"title": self._parts.title})

    async def events(self, request: web.Request) -> web.StreamResponse:
        fleet = self._parts.fleet
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        subscription = fleet.subscribe()
        try:
            while True:
                for message in fleet.messages(subscription):
                    await response.write(f"data: {json.dumps(message, separators=(',', ':'))}\n\n".encode())
                await asyncio.sleep(COALESCE_SECONDS)
                while not subscription.news.is_set():
                    try:
                        async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                            await subscription.news.wait()
                    except TimeoutError:
                        await response.write(b": still here\n\n")
        except (ConnectionError, asyncio.CancelledError):
            return response
        finally:
            fleet.unsubscribe(subscription)

    async def figures(self, request: web.Request) -> web.StreamResponse:
        asked = [Key(*each.partition("/")[::2]) for each in request.query.getall("of", [])][:MOST_FIGURES]
        known = [key for key in asked if self._parts.fleet.row(key) is not None]
        return web.json_response(await self._parts.figures.of(known))

    async def tenant(self, request: web.Request) -> web.StreamResponse:
        key = _key(request)
        body = self._parts.fleet.body(key)
        if body is None:
            raise web.HTTPNotFound
        return web.json_response(await read_tenant(self._parts.cluster, key, body))

    async def playground(self, request: web.Request) -> web.StreamResponse:
        key = _key(request)
        body = self._parts.fleet.body(key)
        if body is None:
            raise web.HTTPNotFound
        url = (body.get("status") or {}).get("url") or f"http://{key.name}.{key.namespace}.svc"
        return _file(playground_page(f"{str(url).rstrip('/')}/"))

    async def playground_file(self, request: web.Request) -> web.StreamResponse:
        return _file(PLAYGROUND.get(request.match_info["file"]))

    async def speak(self, request: web.Request) -> web.StreamResponse:
        key = _key(request)
        if self._parts.fleet.row(key) is None:
            return refused(404, f"There is no TTSTenant {key}, or you may not list it.")
        return await relay(request, self._parts.cluster, key, request.match_info["path"])


def _key(request: web.Request) -> Key:
    return Key(request.match_info["namespace"], request.match_info["name"])


def _file(file: File | None) -> web.Response:
    if file is None:
        raise web.HTTPNotFound
    return web.Response(body=file.content, content_type=file.media_type, charset="utf-8")
