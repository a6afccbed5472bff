"""A proxy in front of the API server that refuses, freezes or cuts watches when a test asks for it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from hack.cluster.control_plane import ControlPlane

HOP_BY_HOP = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "authorization"}


@dataclass
class FaultProxy:
    """Plain HTTP in front of TLS with a user's client certificate."""

    upstream: str
    session: aiohttp.ClientSession
    refusals: dict[str, list[int]] = field(default_factory=dict)
    """HTTP statuses with which the next watches of a plural are answered."""
    frozen: bool = False
    """Watches deliver nothing and never end, those that are open and new ones."""
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        watch = "watch" in request.query
        plural = request.path.rsplit("/", 1)[-1]
        if watch and self.refusals.get(plural):
            return refusal(self.refusals[plural].pop(0))
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        async with self.session.request(
            request.method, self.upstream + request.raw_path, headers=headers, data=await request.read() or None
        ) as answer:
            reply = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await reply.prepare(request)
            async for chunk in answer.content.iter_any():
                if watch and self.frozen:
                    continue
                await reply.write(chunk)
            if watch and self.frozen:
                await asyncio.Event().wait()
            await reply.write_eof()
            return reply

    def kubeconfig(self, file: Path) -> Path:
        """Kubeconfig of a client that goes through the proxy."""
        file.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "proxy",
                    "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
                    "users": [{"name": "proxy", "user": {}}],
                    "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
                }
            )
        )
        return file


def refusal(code: int) -> web.Response:
    """Status object with an HTTP status, as the API server sends it."""
    status = {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code}
    return web.json_response({**status, "message": f"refused with {code}"}, status=code)


@asynccontextmanager
async def fault_proxy(plane: ControlPlane, user: str, *groups: str) -> AsyncIterator[FaultProxy]:
    """A proxy that acts as this user, on a free port until the block ends."""
    client = plane.authority.issue(user, user, groups=groups)
    tls = ssl.create_default_context(cafile=plane.authority.pair.certificate)
    tls.load_cert_chain(client.certificate, client.key)
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        proxy = FaultProxy(plane.server, session)
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield proxy
        finally:
            await runner.cleanup()
