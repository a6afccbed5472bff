"""Authenticates callers: API keys by their SHA-256, access tokens, and the internal credential of entry pools."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tts_server.auth.jws import looks_like_token
from tts_server.auth.network import network_of
from tts_server.config.api_keys import is_key_file, key_digest, shown_name
from tts_server.config.schema import AuthConfig, AuthMode
from tts_server.errors import TokenExpired, Unauthenticated

log = structlog.get_logger(__name__)

TOKEN_FILE = "token"  # noqa: S105 - a file's name
ANONYMOUS = ""

VerifyToken = Callable[[bytes], Awaitable[tuple[str, bool]]]
"""The subject of an access token, and whether this tenant issued it. Raises `InvalidToken`, `TokensUnavailable`."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The known credentials. API keys are known by digest only: none is kept longer than its request."""

    digests: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Name of an API key to its SHA-256."""
    token: bytes | None = field(default=None, repr=False)
    """The internal credential of this tenant's pools."""
    tenants: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """In a pool of role Member: tenant to the SHA-256 of its entry pools' internal credential. All are different."""


@dataclass(frozen=True, slots=True)
class Share:
    """The tenant that a request is scheduled for, and its weight in the queue of an engine."""

    tenant: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller."""

    key: str = ANONYMOUS
    """Name of the API key, or of the one that the access token was issued for. May be logged; empty without a key."""
    internal: bool = False
    """The caller is an entry pool of the tenant, which has prepared the text and counted the request."""
    share: Share = Share()
    """For an entry pool, the tenant of its credential; for other callers, this pool's own tenant."""
    subject: str = ANONYMOUS
    """Subject of an external issuer's token. It may be a person's name, and is never logged."""
    address: str = ANONYMOUS
    """Address of the connection, or the one that a trusted proxy reports."""

    @property
    def client(self) -> str:
        """The client that per-client limits count: the key, else the subject, else the network. Never logged."""
        if self.key:
            return f"key:{self.key}"
        return f"subject:{self.subject}" if self.subject else f"address:{network_of(self.address)}"


async def authenticate(
    authorization: bytes | None, auth: AuthConfig, keyring: Keyring, verify: VerifyToken, *, member: bool
) -> Caller:
    """The caller that sent an `Authorization` header. The weight of an entry pool's tenant is set by `http.caller`.

    `member`: this pool accepts only the entry pools of its tenants. Raises `Unauthenticated`, `TokensUnavailable`.
    """
    presented = bearer(authorization)
    if member:
        tenant = None if presented is None else _holder(hashlib.sha256(presented).digest(), keyring.tenants)
        if tenant is None:
            raise Unauthenticated(NO_ENTRY)
        return Caller(internal=True, share=Share(tenant))
    keys, tokens = AuthMode.API_KEY in auth.modes, AuthMode.JWT in auth.modes
    if authorization is None:
        if AuthMode.NONE in auth.modes:
            return Caller()
        raise Unauthenticated(_REQUIRED if keys else _TOKEN_REQUIRED)
    if not keys and not tokens:
        return Caller()  # OpenAI's clients always send a key, even if none is required
    if presented is None:
        raise Unauthenticated("The Authorization header must be 'Bearer <key>'.")
    # Keys first: a key may look like a token, and checking it costs least.
    if keys and (name := holder(presented, keyring)) is not None:
        return Caller(key=name)
    if tokens and looks_like_token(presented):
        return await _bearer_of(presented, keyring, verify)
    if not keys and AuthMode.NONE in auth.modes:
        return Caller()  # not a token, so it is the key that OpenAI's clients always send
    raise Unauthenticated("The API key is unknown." if keys else _TOKEN_REQUIRED)


NO_ENTRY = "This pool is reached through its tenant's own endpoint only."
_REQUIRED = "An API key is required: send it as 'Authorization: Bearer <key>'."
_TOKEN_REQUIRED = "An access token is required: POST /v1/auth/token gives one for an API key."  # noqa: S105 - a sentence


async def _bearer_of(token: bytes, keyring: Keyring, verify: VerifyToken) -> Caller:
    subject, own = await verify(token)
    if not own:
        return Caller(subject=subject)
    if subject not in keyring.digests:  # removing a key revokes its tokens
        raise TokenExpired("The API key that this access token was issued for was removed.")
    return Caller(key=subject)


def read_digests(directory: Path) -> dict[str, bytes]:
    """The API keys in a mounted Secret, one file each. A file without a SHA-256 is logged by name and ignored."""
    digests: dict[str, bytes] = {}
    found = sorted(directory.iterdir()) if directory.is_dir() else []
    files = [file for file in found if is_key_file(file.name) and file.is_file()]
    for position, file in enumerate(files, 1):
        digest = key_digest(file.read_bytes())
        if digest is not None:
            digests[file.name] = digest
        else:
            log.error(
                "API key ignored: its file must contain a SHA-256 in hexadecimal", key=shown_name(file.name, position)
            )
    return digests


def read_token(directory: Path) -> bytes | None:
    """The internal credential, or None if it is missing."""
    try:
        return (directory / TOKEN_FILE).read_bytes().strip() or None
    except FileNotFoundError:
        return None


def read_tenants(folders: Mapping[str, Path]) -> dict[str, bytes]:
    """The tenants of a pool of role Member to the SHA-256 of their internal credentials; `folders` holds these.

    A tenant whose credential is missing, unreadable or also another tenant's is logged by name and rejected: tenants
    with the same credential cannot be told apart.
    """
    digests: dict[str, bytes] = {}
    for tenant, folder in folders.items():
        try:
            token = read_token(folder)
        except OSError as error:  # one tenant's problem must not affect the others
            log.error("tenant rejected: credential unreadable", tenant=tenant, reason=error.strerror)  # noqa: TRY400
            continue
        if token is None:
            log.warning("tenant rejected: credential missing", tenant=tenant)
        else:
            digests[tenant] = hashlib.sha256(token).digest()
    times = Counter(digests.values())
    alike = sorted(tenant for tenant, digest in digests.items() if times[digest] > 1)
    if alike:
        log.error("tenants rejected: same credential", tenants=alike)
    return {tenant: digest for tenant, digest in digests.items() if times[digest] == 1}


def holder(presented: bytes, keyring: Keyring) -> str | None:
    """The name of the API key, or None if it is unknown."""
    return _holder(hashlib.sha256(presented).digest(), keyring.digests)


def bearer(authorization: bytes | None) -> bytes | None:
    """The credential of the scheme Bearer (RFC 6750)."""
    scheme, _, credential = (authorization or b"").strip().partition(b" ")
    return credential.strip() or None if scheme.lower() == b"bearer" else None


def _holder(digest: bytes, digests: Mapping[str, bytes]) -> str | None:
    """Compares with every digest, so that the duration tells nothing about the match."""
    holder = None
    for name, known in digests.items():
        if hmac.compare_digest(digest, known):
            holder = name
    return holder
