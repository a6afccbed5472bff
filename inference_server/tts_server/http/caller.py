"""Gives routes their server, and authenticates the caller."""

from dataclasses import replace
from typing import NoReturn

from starlette.requests import Request

from tts_server.auth.authenticate import NO_ENTRY, Caller, Share, authenticate, bearer
from tts_server.config.schema import AuthConfig
from tts_server.errors import (
    InvalidGrant,
    InvalidParameter,
    InvalidToken,
    Overloaded,
    PermissionDenied,
    TokenExpired,
    TokensUnavailable,
    TooManyFailures,
    Unauthenticated,
)
from tts_server.http.client_address import client_address, is_trusted
from tts_server.http.forwarded import Forwarded, plain_host
from tts_server.http.request_context import context_of
from tts_server.pipeline.server import ServerState
from tts_server.scheduling.fair_queue import Priority

MEMBER = "Member"
API_KEY = b"x-api-key"
CREDENTIAL_HEADERS = frozenset({b"authorization", API_KEY})
READING = ["GET", "HEAD"]
"""Methods of every route that reads: monitors, load balancers and players send HEAD."""
CALLER_ERRORS = (
    Unauthenticated,
    InvalidToken,
    PermissionDenied,
    TooManyFailures,
    Overloaded,
    TokensUnavailable,
)
"""Errors of `admit_caller`."""


def server_of(request: Request) -> ServerState:
    """Return the server of this application; in a shared pool the tenant's, once its request is known to be its."""
    server: ServerState = request.app.state.server
    return context_of(request.scope).tenant_server or server


def enter_tenant(request: Request, server: ServerState | None) -> ServerState:
    """Serve the rest of the request by a tenant's state; by the pool's, which serves no caller, if it is None."""
    context_of(request.scope).tenant_server = server
    return server_of(request)


async def admit_caller(request: Request, *, any_tenant: bool = False) -> Caller:
    """Authenticate the caller, before the body is read. Raises the kinds of `CALLER_ERRORS`.

    `any_tenant`: entry pools of the other tenants that this pool serves are admitted too.
    """
    server, authorization = server_of(request), authorization_of(request)
    if server.tenants is not None:
        server = enter_tenant(request, server.tenants.with_credential(bearer(authorization)))
    if server.snapshot is None:
        raise Overloaded("The engines are still loading.")
    config = server.snapshot.config
    address = address_of(request, config.auth)
    member = config.role == MEMBER
    try:
        authenticated = await authenticate(
            authorization, config.auth, server.keyring, server.identity.verify, member=member
        )
    except Unauthenticated as error:
        # A request without a credential is no guess, and pools do not guess.
        if authorization is None or member:
            raise
        await refuse_guess(server, address, error)
    tenant = authenticated.share.tenant or config.tenant
    weight = config.weight_of(tenant)
    if weight is None:  # its tenant was removed and its credential was not yet
        raise Unauthenticated(NO_ENTRY)
    caller = replace(authenticated, address=address, share=Share(tenant, weight))
    context_of(request.scope).caller = caller
    if tenant != config.tenant and not any_tenant:
        raise PermissionDenied("This pool serves nothing but speech to other tenants.")
    return caller


async def own_caller(request: Request) -> Caller:
    """Authenticate a caller of this pool's own tenant: `admit_caller` as a dependency of a route."""
    return await admit_caller(request)


async def refuse_guess(server: ServerState, address: str, error: Unauthenticated) -> NoReturn:
    """Raise `error`, or `TooManyFailures` for an address with too many failures."""
    failures = server.identity.failures
    server.metrics.auth_failures.labels(error.code).inc()
    if isinstance(error, TokenExpired):
        raise error  # not a guess: its client needs the 401 in order to get a new one
    wait_seconds = failures.count(address)
    if wait_seconds is None:
        raise error
    await failures.pause()
    if isinstance(error, InvalidGrant):
        raise error  # delayed, but unchanged: after a store was lost, honest clients must learn to use their key
    raise TooManyFailures(
        "Too many bad credentials came from this address. A valid one is accepted at any time.",
        retry_after_seconds=wait_seconds,
    ) from None


def authorization_of(request: Request) -> bytes | None:
    """Return the value of `Authorization`, None without one; several credentials count as an empty one.

    `X-API-Key` holds the same key or token alone, for ways that keep `Authorization` to themselves: the service proxy
    of a Kubernetes API server removes it.
    """
    values = [
        b"Bearer " + value if name == API_KEY else value
        for name, value in request.scope["headers"]
        if name in CREDENTIAL_HEADERS
    ]
    return values[0] if len(values) == 1 else b"" if values else None


def address_of(request: Request, auth: AuthConfig) -> str:
    """Return the caller's IP address; empty for a connection without one."""
    peer: str = (request.scope.get("client") or ("",))[0]
    if not auth.trusted_proxies:
        return peer
    forwarded = [value.decode("latin-1") for name, value in request.scope["headers"] if name == b"x-forwarded-for"]
    return client_address(peer, forwarded, auth.trusted_proxies)


def base_url_of(request: Request) -> str:
    """Return the URL at which the caller reaches this server, without a slash at its end: a link begins with it.

    It is `publicUrl`, else what trusted proxies forward, else the connection's own. Without a valid host it is a path,
    or empty, so that the link is relative.
    """
    snapshot = server_of(request).snapshot
    config = snapshot.config if snapshot is not None else None
    if config is not None and config.public_url is not None:
        return config.public_url.rstrip("/")
    peer: str = (request.scope.get("client") or ("",))[0]
    proxies = config.auth.trusted_proxies if config is not None else None
    forwarded = Forwarded.of(request.headers) if is_trusted(peer, proxies or ()) else Forwarded()
    host = forwarded.host or plain_host(request.headers.get("host", ""))
    origin = f"{forwarded.scheme or request.url.scheme}://{host}" if host else ""
    return origin + forwarded.prefix


def priority_of(request: Request) -> Priority:
    """Return the priority that `X-TTS-Priority` asks for, by default interactive. Raises `InvalidParameter`."""
    requested = request.headers.get("x-tts-priority", Priority.INTERACTIVE.value)
    try:
        return Priority(requested.strip().lower())
    except ValueError:
        values = ", ".join(priority.value for priority in Priority)
        raise InvalidParameter(f"X-TTS-Priority must be one of {values}.", param="X-TTS-Priority") from None
