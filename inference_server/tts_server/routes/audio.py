"""`GET /v1/tts/audio/<tenant>/<uuid>.<extension>`: what a signed link leads to. The link is the permission."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tts_server.audio import FORMATS, media_type
from tts_server.errors import AudioGone, PermissionDenied
from tts_server.routes.common import server_of
from tts_server.stores.links import Permission

router = APIRouter()

LONGEST_NUMBER = 15


@router.get("/v1/tts/audio/{key:path}")
async def audio(request: Request, key: str) -> Response:
    """The audio, with its length."""
    server = server_of(request)
    query = request.query_params
    expires = query.get("expires", "")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= LONGEST_NUMBER):
        raise PermissionDenied("The link is incomplete: it needs its expires, replica and signature.")
    permission = Permission(query.get("replica", ""), int(expires), query.get("signature", ""))
    server.links.check(key, permission)
    found = await server.store.fetch(key)
    if found is None or found.extension not in FORMATS:
        raise AudioGone("This audio is not kept any more.")
    return Response(
        found.content,
        media_type=media_type(found.extension),
        headers={"Cache-Control": "private", "X-Content-Type-Options": "nosniff"},
    )
