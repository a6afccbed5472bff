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
from tts_server.routes.common import server_of
from tts_server.routes.conversation import CutOff
from tts_server.routes.reply import SEND_SECONDS
from tts_server.stores.links import Permission
from tts_server.stores.peers import HOP

router = APIRouter()

LONGEST_NUMBER = 15
HEADERS = {"Cache-Control": "private", "X-Content-Type-Options": "nosniff"}


@router.get("/v1/tts/audio/{key:path}")
async def audio(request: Request, key: str) -> Response:
    """The audio, with its length."""
    server = server_of(request)
    query = request.query_params
    expires = query.get("expires", "")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= LONGEST_NUMBER):
        raise PermissionDenied("The link is incomplete: it needs its expires, replica and signature.")
    permission = Permission(query.get("replica", ""), int(expires), query.get("signature", ""))
    extension = key.rpartition(".")[2]
    if server.peers is not None and server.links.is_elsewhere(permission) and HOP not in request.headers:
        if extension not in FORMATS:
            raise AudioGone("This audio is not kept any more.")
        return PassedOn(await server.peers.fetch(key, permission), media_type(extension))
    server.links.check(key, permission)
    found = await server.store.fetch(key)
    if found is None or found.extension not in FORMATS:
        raise AudioGone("This audio is not kept any more.")
    return Response(found.content, media_type=media_type(found.extension), headers=HEADERS)


class PassedOn(Response):
    """Another replica's audio, as it comes."""

    def __init__(self, answer: httpx.Response, media_type: str) -> None:
        length = answer.headers.get("content-length")
        super().__init__(media_type=media_type, headers=HEADERS | {"content-length": length or ""})
        if length is None:
            del self.headers["content-length"]
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for part in self.answer.aiter_raw():
                async with asyncio.timeout(SEND_SECONDS):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        except (httpx.HTTPError, TimeoutError) as error:
            raise CutOff from error
        finally:
            await self.answer.aclose()
        await send({"type": "http.response.body", "body": b""})
