"""`GET /v1/tts/audio/<tenant>/<uuid>.<extension>`: serves the audio of a signed link. The link is the permission.

A link to a file of another replica is fetched from that replica, which checks it.
"""

import asyncio
from typing import Annotated

import httpx
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tts_server.audio import FORMATS, media_type
from tts_server.errors import AudioGone, PermissionDenied, StorageUnavailable
from tts_server.http.caller import READING, enter_tenant, server_of
from tts_server.http.errors import RangeNotSatisfiable
from tts_server.http.openapi import answer, errors
from tts_server.http.openapi import request as reads
from tts_server.http.ranges import CONDITIONS, FACTS, asked_part, is_known
from tts_server.http.request_context import ResponseAborted
from tts_server.http.speech_response import SEND_SECONDS
from tts_server.storage.peers import HOP
from tts_server.storage.signed_links import LinkGrant

router = APIRouter(tags=["Speech"])

LONGEST_NUMBER = 15
HEADERS = {"Cache-Control": "private", "X-Content-Type-Options": "nosniff", "Accept-Ranges": "bytes"}
NOT_MODIFIED, PARTIAL, NO_SUCH_PART = 304, 206, 416
MEDIA_TYPES = [media_type(name) for name in FORMATS]
ANSWERS = {
    200: answer("The audio.", "ETag", *HEADERS, media_types=MEDIA_TYPES),
    PARTIAL: answer("A part.", "ETag", "Content-Range", *HEADERS, media_types=MEDIA_TYPES),
    NOT_MODIFIED: answer("The client has the audio already.", "ETag", *HEADERS),
    **errors(PermissionDenied, AudioGone, RangeNotSatisfiable, StorageUnavailable),
}


@router.api_route(
    "/v1/tts/audio/{key:path}",
    methods=READING,
    response_class=Response,
    responses=ANSWERS,
    openapi_extra=reads(headers=("Range", "If-Range", "If-None-Match", "X-Request-Id"), credentials=()),
)
async def audio(
    request: Request,
    key: str,
    expires: Annotated[str, Query()] = "",
    replica: Annotated[str, Query()] = "",
    signature: Annotated[str, Query()] = "",
) -> Response:
    """Return the audio of a signed link, or the requested part of it. Call links as they are; do not build them."""
    server = server_of(request)
    if server.tenants is not None:
        server = enter_tenant(request, server.tenants.named(key.partition("/")[0]))
    if not (expires.isascii() and expires.isdigit() and len(expires) <= LONGEST_NUMBER):
        raise PermissionDenied("The link is incomplete: it needs its expires, replica and signature.")
    permission = LinkGrant(replica, int(expires), signature)
    extension = key.rpartition(".")[2]
    if server.peers is not None and server.links.is_elsewhere(permission) and HOP not in request.headers:
        if extension not in FORMATS:
            raise AudioGone("This audio was deleted.")
        conditions = {name: request.headers[name] for name in CONDITIONS if name in request.headers}
        return await _relayed(await server.peers.fetch(key, permission, conditions), media_type(extension))
    server.links.check(key, permission)
    stored = await server.store.fetch(key)
    if stored is None or stored.extension not in FORMATS:
        raise AudioGone("This audio was deleted.")
    etag = f'"{key.rpartition("/")[2]}"'  # the audio of a key never changes
    headers = HEADERS | {"ETag": etag}
    if is_known(etag, request.headers):
        return Response(status_code=NOT_MODIFIED, headers=headers)
    content, kind = stored.content, media_type(stored.extension)
    part = asked_part(len(content), etag, request.headers)
    if part is None:
        return Response(content, media_type=kind, headers=headers)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(content)}"
    return Response(content[part], PARTIAL, headers, kind)


async def _relayed(answer: httpx.Response, kind: str) -> Response:
    if answer.status_code == NO_SUCH_PART:
        await answer.aclose()
        headers = {"Content-Range": answer.headers.get("content-range", "bytes */*")}
        raise RangeNotSatisfiable("The audio has no such part.", headers=headers)
    return RelayedAudio(answer, kind)


class RelayedAudio(Response):
    """Relays the audio of another replica."""

    def __init__(self, answer: httpx.Response, media_type: str) -> None:
        length = answer.headers.get("content-length")
        facts = {name: answer.headers[name] for name in FACTS if name in answer.headers}
        kind = None if answer.status_code == NOT_MODIFIED else media_type
        super().__init__(None, answer.status_code, HEADERS | facts | {"content-length": length or ""}, kind)
        if length is None:
            del self.headers["content-length"]
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "GET":
                await self._relay(send)
        except (httpx.HTTPError, TimeoutError) as error:
            raise ResponseAborted from error
        finally:
            await self.answer.aclose()
        await send({"type": "http.response.body", "body": b""})

    async def _relay(self, send: Send) -> None:
        async for part in self.answer.aiter_raw():
            async with asyncio.timeout(SEND_SECONDS):
                await send({"type": "http.response.body", "body": part, "more_body": True})
