"""`POST /v1/auth/token` (OAuth 2.0, RFC 6749) and `GET /.well-known/jwks.json` (RFC 7517). Both need the mode JWT."""

import base64
import binascii
import hashlib
from typing import Annotated, Literal
from urllib.parse import unquote_plus

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request

from tts_server.auth.access_tokens import TokenAuthority
from tts_server.auth.authenticate import Caller, bearer, holder
from tts_server.auth.identity import Grant
from tts_server.auth.refresh_tokens import refused
from tts_server.config.schema import AuthConfig
from tts_server.errors import (
    InvalidGrant,
    InvalidParameter,
    Overloaded,
    RefreshUnavailable,
    RequestError,
    TokensUnavailable,
    TooManyFailures,
    Unauthenticated,
)
from tts_server.http.body import BODY_ERRORS, FORM, checked, read_fields
from tts_server.http.caller import MEMBER, READING, address_of, authorization_of, enter_tenant, refuse_guess, server_of
from tts_server.http.errors import NotFound
from tts_server.http.openapi import JSON, errors, ok
from tts_server.http.openapi import request as reads
from tts_server.http.request_context import context_of
from tts_server.pipeline.server import ServerState

router = APIRouter(tags=["Tokens"], responses=errors(NotFound, Overloaded, TokensUnavailable))

KEY_SET_SECONDS = 300
"""How long others may cache the key set: a new key must be in it that long before it signs."""
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a grant's name
Short = Annotated[str, StringConstraints(max_length=1024)]


class TokenBody(BaseModel):
    """A grant (RFC 6749, sections 4.4.2 and 6). Other fields, such as `scope`, are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", use_attribute_docstrings=True)

    grant_type: Literal["client_credentials", "refresh_token"] = "client_credentials"
    refresh_token: Short | None = None
    """Needed by the grant of that name; valid once."""
    client_id: Short | None = None
    """Name of the API key; not needed."""
    client_secret: Short | None = None
    """The API key, where it is not in the header."""


class TokenAnswer(BaseModel):
    """Access token, and how to get the next one."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    access_token: str
    """A JWT (RFC 9068), to be sent as `Authorization: Bearer`."""
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme
    expires_in: int
    """Seconds."""
    refresh_token: str | None = None
    """Absent where replicas share no store for them."""


class PublicKey(BaseModel):
    """RSA key that signs access tokens."""

    kty: Literal["RSA"]
    use: Literal["sig"]
    alg: Literal["RS256"]
    kid: str
    n: str
    e: str


class KeySet(BaseModel):
    """JSON Web Key Set (RFC 7517)."""

    keys: list[PublicKey]


@router.post(
    "/v1/auth/token",
    response_model_exclude_none=True,
    responses=ok("The tokens.", "Cache-Control", "Pragma")
    | errors(*BODY_ERRORS, InvalidGrant, Unauthenticated, TooManyFailures, NotFound, Overloaded, TokensUnavailable,
             RefreshUnavailable),
    openapi_extra=reads(
        TokenBody, media_types=(FORM, JSON), required=False, headers=("X-Request-Id",),
        credentials=("bearer", "basic", None),
    ),
)  # fmt: skip
async def token(request: Request, response: Response) -> TokenAnswer:
    """Give an access token of five minutes for an API key, and a refresh token that is good once."""
    _authority(server_of(request))
    body = checked(TokenBody, await read_fields(request, request.app.state.incoming_bodies))
    server = _tenant(request, body)
    authority, auth = _authority(server)
    try:
        grant = await _granted(request, body, server, authority)
    except Unauthenticated as error:
        # A request without a credential is no guess.
        if authorization_of(request) is None and body.client_secret is None and body.refresh_token is None:
            raise
        await refuse_guess(server, address_of(request, auth), error)
    context_of(request.scope).caller = Caller(key=grant.holder)
    response.headers.update({"Cache-Control": "no-store", "Pragma": "no-cache"})
    return TokenAnswer(
        access_token=grant.access_token, expires_in=grant.expires_in_seconds, refresh_token=grant.refresh_token
    )


@router.api_route(
    "/.well-known/jwks.json",
    methods=READING,
    responses=ok("The keys.", "Cache-Control"),
    openapi_extra=reads(headers=("X-Request-Id",), credentials=()),
)
async def jwks(request: Request, response: Response) -> KeySet:
    """Return the public keys that access tokens of this tenant are verified with."""
    authority, _ = _authority(server_of(request))
    response.headers["Cache-Control"] = f"public, max-age={KEY_SET_SECONDS}"
    return KeySet.model_validate(authority.require_key().key_set)


def _tenant(request: Request, body: TokenBody) -> ServerState:
    """Return the server, in a shared pool that of the tenant whose API key or refresh token was sent."""
    server = server_of(request)
    if server.tenants is None:
        return server
    key = _presented_key(request, body)
    found = server.tenants.with_key(key) if key is not None else server.tenants.with_refresh_token(body.refresh_token)
    return enter_tenant(request, found)


async def _granted(request: Request, body: TokenBody, server: ServerState, authority: TokenAuthority) -> Grant:
    key = _presented_key(request, body)
    name = None if key is None else holder(key, server.keyring)
    if key is not None and (name is None or body.client_id not in {None, "", name}):
        raise Unauthenticated("The API key is unknown.")
    if body.grant_type == REFRESH_TOKEN:
        if not body.refresh_token:
            raise InvalidParameter("refresh_token: required by this grant.", param="refresh_token")
        grant = await server.identity.renew(authority, body.refresh_token, server.keyring)
        if name not in {None, grant.holder}:
            raise refused()  # another key's refresh token: it is spent, and the new one is not handed out
        return grant
    if key is None or name is None:
        raise Unauthenticated("An API key is required: send it as 'Authorization: Bearer <key>'.")
    return await server.identity.grant(authority, name, hashlib.sha256(key).digest())


def _presented_key(request: Request, body: TokenBody) -> bytes | None:
    """Return the API key: Bearer, the password of Basic, or `client_secret`; in one place only (RFC 6749, 2.3)."""
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
    """Return the password of HTTP Basic, whose parts OAuth encodes as a form; the user is the key's name, or empty."""
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
    # API keys are often base64: a plus sign that was not encoded stands for itself.
    return unquote_plus(password.replace("+", "%2B")).encode()


def _authority(server: ServerState) -> tuple[TokenAuthority, AuthConfig]:
    if server.snapshot is None:
        raise Overloaded("The engines are still loading.")
    config, authority = server.snapshot.config, server.identity.authority
    if authority is None or config.role == MEMBER:
        raise NotFound
    return authority, config.auth
