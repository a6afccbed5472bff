"""`POST /v1/auth/token` (OAuth 2.0, RFC 6749) and `GET /.well-known/jwks.json` (RFC 7517). Both need the mode JWT."""

import base64
import binascii
import hashlib
from typing import Annotated, Literal
from urllib.parse import unquote_plus

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tts_server.auth.access_tokens import TokenAuthority
from tts_server.auth.authenticate import Caller, bearer, holder
from tts_server.auth.identity import Grant
from tts_server.auth.refresh_tokens import refused
from tts_server.config.schema import AuthConfig
from tts_server.errors import InvalidParameter, Overloaded, RequestError, Unauthenticated
from tts_server.http.body import checked, read_fields
from tts_server.http.caller import MEMBER, READING, address_of, authorization_of, refuse_guess, server_of
from tts_server.http.request_context import conversation_of
from tts_server.pipeline.server import ServerState

router = APIRouter()

KEY_SET_SECONDS = 300
"""For so long others keep the key set: a new key must be in it that long before it signs."""
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a grant's name
Short = Annotated[str, StringConstraints(max_length=1024)]


class TokenBody(BaseModel):
    """RFC 6749, sections 4.4.2 and 6. Other fields, such as `scope`, are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")

    grant_type: Literal["client_credentials", "refresh_token"] = "client_credentials"
    refresh_token: Short | None = None
    client_id: Short | None = None
    client_secret: Short | None = None


@router.post("/v1/auth/token")
async def token(request: Request) -> Response:
    """An access token of five minutes, and a refresh token that is good once."""
    server = server_of(request)
    authority, auth = _authority(server)
    body = checked(TokenBody, await read_fields(request))
    try:
        grant = await _granted(request, body, server, authority)
    except Unauthenticated as error:
        # Nothing was guessed where nothing was sent.
        if authorization_of(request) is None and body.client_secret is None and body.refresh_token is None:
            raise
        await refuse_guess(server, address_of(request, auth), error)
    conversation_of(request.scope).caller = Caller(key=grant.holder)
    return JSONResponse(_shown(grant), headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


@router.api_route("/.well-known/jwks.json", methods=READING)
async def jwks(request: Request) -> Response:
    """The public keys that our tokens are checked with."""
    authority, _ = _authority(server_of(request))
    return JSONResponse(
        authority.require_key().key_set, headers={"Cache-Control": f"public, max-age={KEY_SET_SECONDS}"}
    )


async def _granted(request: Request, body: TokenBody, server: ServerState, authority: TokenAuthority) -> Grant:
    key = _presented_key(request, body)
    name = None if key is None else holder(key, server.keyring)
    if key is not None and (name is None or body.client_id not in {None, "", name}):
        raise Unauthenticated("The API key is unknown.")
    if body.grant_type == REFRESH_TOKEN:
        if not body.refresh_token:
            raise InvalidParameter("refresh_token: it is what this grant needs.", param="refresh_token")
        grant = await server.identity.renew(authority, body.refresh_token, server.keyring)
        if name not in {None, grant.holder}:
            raise refused()  # somebody else's: it is spent now, and what it gave goes nowhere
        return grant
    if key is None or name is None:
        raise Unauthenticated("An API key is required: send it as 'Authorization: Bearer <key>'.")
    return await server.identity.grant(authority, name, hashlib.sha256(key).digest())


def _presented_key(request: Request, body: TokenBody) -> bytes | None:
    """The API key: as Bearer, as the password of Basic, or as `client_secret`; in one place only (section 2.3)."""
    authorization = authorization_of(request)
    if authorization is None:
        return body.client_secret.encode("utf-8", "replace") if body.client_secret else None
    if body.client_secret is not None:
        raise RequestError("The API key came twice: send it in the header or in the body.", param="client_secret")
    key = bearer(authorization) or _basic(authorization, body)
    if key is None:
        raise Unauthenticated("The Authorization header must be 'Bearer <key>' or 'Basic <name:key>'.")
    return key


def _basic(authorization: bytes, body: TokenBody) -> bytes | None:
    """The password of HTTP Basic, whose two halves OAuth encodes as a form; the user is the key's name, or empty."""
    scheme, _, encoded = authorization.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if not colon or not password:
        return None
    if body.client_id in {None, ""}:
        body.client_id = unquote_plus(user)
    # API keys are base64 often enough: a plus sign that was not encoded is one.
    return unquote_plus(password.replace("+", "%2B")).encode()


def _authority(server: ServerState) -> tuple[TokenAuthority, AuthConfig]:
    if server.snapshot is None:
        raise Overloaded("The engines are still loading.")
    config, authority = server.snapshot.config, server.identity.authority
    if authority is None or config.role == MEMBER:
        raise HTTPException(404)
    return authority, config.auth


def _shown(grant: Grant) -> dict[str, object]:
    shown: dict[str, object] = {
        "access_token": grant.access_token,
        "token_type": "Bearer",
        "expires_in": grant.expires_in_seconds,
    }
    if grant.refresh_token is not None:
        shown["refresh_token"] = grant.refresh_token
    return shown
