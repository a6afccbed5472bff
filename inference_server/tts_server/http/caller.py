"""What the routes share: the server behind them, and who calls."""

from dataclasses import replace
from typing import NoReturn

from starlette.requests import Request

from tts_server.auth.authenticate import NO_ENTRY, Caller, Share, authenticate
from tts_server.config.schema import AuthConfig
from tts_server.errors import (
    InvalidGrant,
    InvalidParameter,
    Overloaded,
    PermissionDenied,
    TokenExpired,
    TooManyFailures,
    Unauthenticated,
)
from tts_server.http.client_address import client_address, is_trusted
from tts_server.http.request_context import conversation_of
from tts_server.pipeline.server import ServerState
from tts_server.scheduling.fair_queue import Priority

MEMBER = "Member"
READING = ["GET", "HEAD"]
"""Who may get something may ask what it would be: monitors, load balancers and players do."""


def server_of(request: Request) -> ServerState:
    """The one server of this application."""
    server: ServerState = request.app.state.server
    return server


async def admit_caller(request: Request, *, any_tenant: bool = False) -> Caller:
    """Who calls, before a byte of the body is read; `any_tenant`: whichever of those that this pool serves.

    Raises `Unauthenticated`, `PermissionDenied`, `Overloaded` while nothing is loaded.
    """
    server = server_of(request)
    if server.snapshot is None:
        raise Overloaded("The engines are still loading.")
    config = server.snapshot.config
    authorization = authorization_of(request)
    address = address_of(request, config.auth)
    member = config.role == MEMBER
    try:
        found = await authenticate(authorization, config.auth, server.keyring, server.identity.verify, member=member)
    except Unauthenticated as error:
        # Without a credential nothing was guessed; between pools nobody guesses.
        if authorization is None or member:
            raise
        await refuse_guess(server, address, error)
    tenant = found.share.tenant or config.tenant
    weight = config.weight_of(tenant)
    if weight is None:  # its credential is not forgotten yet
        raise Unauthenticated(NO_ENTRY)
    caller = replace(found, address=address, share=Share(tenant, weight))
    conversation_of(request.scope).caller = caller
    if tenant != config.tenant and not any_tenant:
        raise PermissionDenied("This pool speaks for other tenants, and does nothing else for them.")
    return caller


async def refuse_guess(server: ServerState, address: str, error: Unauthenticated) -> NoReturn:
    """Raises `error`, or `TooManyFailures` for an address that has guessed too often."""
    failures = server.identity.failures
    server.metrics.auth_failures.labels(error.code).inc()
    if isinstance(error, TokenExpired):
        raise error  # no guess: its caller must hear 401 in order to get a new one
    wait_seconds = failures.count(address)
    if wait_seconds is None:
        raise error
    await failures.pause()
    if isinstance(error, InvalidGrant):
        raise error  # late, but as it is: after a store was lost, honest callers must hear that they need their key
    raise TooManyFailures(
        "Too many bad credentials came from this address. A good one is let in at any time.",
        retry_after_seconds=wait_seconds,
    ) from None


def authorization_of(request: Request) -> bytes | None:
    """The header's value; several are as good as an empty one."""
    given = [value for name, value in request.scope["headers"] if name == b"authorization"]
    return given[0] if len(given) == 1 else b"" if given else None


def address_of(request: Request, auth: AuthConfig) -> str:
    """The caller's, as far as it can be known; empty for a connection without one."""
    peer: str = (request.scope.get("client") or ("",))[0]
    if not auth.trusted_proxies:
        return peer
    forwarded = [value.decode("latin-1") for name, value in request.scope["headers"] if name == b"x-forwarded-for"]
    return client_address(peer, forwarded, auth.trusted_proxies)


def scheme_of(request: Request) -> str:
    """How the caller reached this endpoint: as a trusted proxy says, which may have ended TLS, else as it is here."""
    snapshot = server_of(request).snapshot
    trusted = snapshot.config.auth.trusted_proxies if snapshot is not None else None
    peer: str = (request.scope.get("client") or ("",))[0]
    said = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    believed = said in {"http", "https"} and is_trusted(peer, trusted or ())
    return said if believed else request.url.scheme


def priority_of(request: Request) -> Priority:
    """What `X-TTS-Priority` asks for: it may lower a request, `interactive` is what every one has. Refuses others."""
    asked = request.headers.get("x-tts-priority", Priority.INTERACTIVE.value)
    try:
        return Priority(asked.strip().lower())
    except ValueError:
        known = ", ".join(priority.value for priority in Priority)
        raise InvalidParameter(f"X-TTS-Priority is one of {known}.", param="X-TTS-Priority") from None
