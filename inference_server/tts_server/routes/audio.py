"""`GET /v1/tts/audio/<tenant>/<uuid>.<extension>`: what a signed link leads to. The link is the permission.

A link to another replica's file is that one's to check: it is asked, once, and its answer is passed on.
"""

import asyncio

import httpx
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tts_server.audio import FORMATS, media_type
from tts_server.errors import AudioGone, PermissionDenied
from tts_server.http.caller import READING, server_of
from tts_server.http.errors import HTTPError
from tts_server.http.ranges import CONDITIONS, FACTS, asked_part, is_known
from tts_server.http.request_context import ResponseAborted
from tts_server.http.speech_response import SEND_SECONDS
from tts_server.storage.peers import HOP
from tts_server.storage.signed_links import LinkGrant

router = APIRouter()

LONGEST_NUMBER = 15
HEADERS = {"Cache-Control": "private", "X-Content-Type-Options": "nosniff", "Accept-Ranges": "bytes"}
NOT_MODIFIED, PARTIAL, NO_SUCH_PART = 304, 206, 416


@router.api_route("/v1/tts/audio/{key:path}", methods=READING)
async def audio(request: Request, key: str) -> Response:
    """The audio, with its length, or the part of it that is asked for."""
    server = server_of(request)
    query = request.query_params
    expires = query.get("expires", "")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= LONGEST_NUMBER):
        raise PermissionDenied("The link is incomplete: it needs its expires, replica and signature.")
    permission = LinkGrant(query.get("replica", ""), int(expires), query.get("signature", ""))
    extension = key.rpartition(".")[2]
    if server.peers is not None and server.links.is_elsewhere(permission) and HOP not in request.headers:
        if extension not in FORMATS:
            raise AudioGone("This audio is not kept any more.")
        conditions = {name: request.headers[name] for name in CONDITIONS if name in request.headers}
        return await _passed_on(await server.peers.fetch(key, permission, conditions), media_type(extension))
    server.links.check(key, permission)
    found = await server.store.fetch(key)
    if found is None or found.extension not in FORMATS:
        raise AudioGone("This audio is not kept any more.")
    etag = f'"{key.rpartition("/")[2]}"'  # what is kept under a key never changes
    headers = HEADERS | {"ETag": etag}
    if is_known(etag, request.headers):
        return Response(status_code=NOT_MODIFIED, headers=headers)
    content, kind = found.content, media_type(found.extension)
    part = asked_part(len(content), etag, request.headers)
    if part is None:
        return Response(content, media_type=kind, headers=headers)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(content)}"
    return Response(content[part], PARTIAL, headers, kind)


async def _passed_on(answer: httpx.Response, kind: str) -> Response:
    if answer.status_code == NO_SUCH_PART:
        await answer.aclose()
        headers = {"Content-Range": answer.headers.get("content-range", "bytes */*")}
        raise HTTPError(NO_SUCH_PART, "The audio has no such part.", code="range_not_satisfiable", headers=headers)
    return PassedOn(answer, kind)


class PassedOn(Response):
    """Another replica's audio, as it comes."""

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
                await self._pass_on(send)
        except (httpx.HTTPError, TimeoutError) as error:
            raise ResponseAborted from error
        finally:
            await self.answer.aclose()
        await send({"type": "http.response.body", "body": b""})

    async def _pass_on(self, send: Send) -> None:
        async for part in self.answer.aiter_raw():
            async with asyncio.timeout(SEND_SECONDS):
                await send({"type": "http.response.body", "body": part, "more_body": True})
