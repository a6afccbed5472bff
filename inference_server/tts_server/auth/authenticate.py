"""Who calls: API keys known by their SHA-256, access tokens, or the credential between the pools of one tenant."""

import hashlib
import hmac
import string
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tts_server.auth.jws import looks_like_token
from tts_server.auth.network import network_of
from tts_server.config.schema import AuthConfig, AuthMode
from tts_server.errors import TokenExpired, Unauthenticated

log = structlog.get_logger(__name__)

TOKEN_FILE = "token"  # noqa: S105 - a file's name
ANONYMOUS = ""

VerifyToken = Callable[[bytes], Awaitable[tuple[str, bool]]]
"""The subject of an access token, and whether it is one of ours. Raises `InvalidToken`, `TokensUnavailable`."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """What proves an identity here. Digests and tokens only: no API key is ever held longer than its request."""

    digests: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Name of a key to its SHA-256."""
    token: bytes | None = field(default=None, repr=False)
    """The internal credential."""
    tenants: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Of a Member: a tenant to the SHA-256 of the internal credential of its entry pools. No two have the same."""


@dataclass(frozen=True, slots=True)
class Share:
    """Whose a request is, and that tenant's weight among those who wait for an engine here."""

    tenant: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was let in: the name of its key, which may be logged; empty where none was asked for."""

    key: str = ANONYMOUS
    """Of the API key itself, or of the one that bought the access token."""
    internal: bool = False
    """The tenant's entry pool: it has prepared the text, and counted the request."""
    share: Share = Share()
    """The tenant's: of an entry pool the one that its credential names, of everybody else this pool's own."""
    subject: str = ANONYMOUS
    """Of an external issuer's token: it may be a person's name, and is never logged."""
    address: str = ANONYMOUS
    """The connection's, or what a trusted proxy says."""

    @property
    def client(self) -> str:
        """Whom limits for each client count by: the key, else the subject, else the address. Never logged.

        Of IPv6 a caller has many addresses: see `network_of`.
        """
        if self.key:
            return f"key:{self.key}"
        return f"subject:{self.subject}" if self.subject else f"address:{network_of(self.address)}"


async def authenticate(
    authorization: bytes | None, auth: AuthConfig, keyring: Keyring, verify: VerifyToken, *, member: bool
) -> Caller:
    """The caller behind an `Authorization` header; of an entry pool it says the tenant, not yet the weight.

    `member`: this pool is only for the entry pools of its tenants, each of which alone holds its internal credential.

    Raises `Unauthenticated`, `TokensUnavailable`.
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
        return Caller()  # clients of this API always send a key, whether or not one is needed
    if presented is None:
        raise Unauthenticated("The Authorization header must be 'Bearer <key>'.")
    # Keys first: they may look like anything, and a look at them costs least.
    if keys and (name := holder(presented, keyring)) is not None:
        return Caller(key=name)
    if tokens and looks_like_token(presented):
        return await _bearer_of(presented, keyring, verify)
    if not keys and AuthMode.NONE in auth.modes:
        return Caller()  # what is no token can only be the key that such a client always sends
    raise Unauthenticated("No such API key here." if keys else _TOKEN_REQUIRED)


NO_ENTRY = "This pool is reached through its tenant's own endpoint only."
_REQUIRED = "An API key is required: send it as 'Authorization: Bearer <key>'."
_TOKEN_REQUIRED = "An access token is required: POST /v1/auth/token gives one for an API key."  # noqa: S105 - a sentence


async def _bearer_of(token: bytes, keyring: Keyring, verify: VerifyToken) -> Caller:
    subject, own = await verify(token)
    if not own:
        return Caller(subject=subject)
    if subject not in keyring.digests:  # a key that is removed takes its tokens along
        raise TokenExpired("The API key that this access token came from is not good any more.")
    return Caller(key=subject)


def read_digests(directory: Path) -> dict[str, bytes]:
    """The keys in a mounted Secret: a file each. A file that holds no SHA-256 is logged by its name and left out."""
    digests: dict[str, bytes] = {}
    for file in sorted(directory.iterdir()) if directory.is_dir() else ():
        if file.name.startswith(".") or not file.is_file():
            continue  # a mounted volume keeps its revisions in hidden folders
        text = file.read_text("utf-8", "replace").strip()
        if len(text) == hashlib.sha256().digest_size * 2 and set(text) <= set(string.hexdigits):
            digests[file.name] = bytes.fromhex(text)
        else:
            log.error("API key left out: its file must hold a SHA-256 in hexadecimal", key=file.name)
    return digests


def read_token(directory: Path) -> bytes | None:
    """The internal credential, None before it is there."""
    try:
        return (directory / TOKEN_FILE).read_bytes().strip() or None
    except FileNotFoundError:
        return None


def read_tenants(folders: Mapping[str, Path]) -> dict[str, bytes]:
    """A Member's tenants, by the folder of each one's internal credential, to the SHA-256 of it.

    One whose credential is not there, cannot be read, or is another one's too, is logged by its name and left out: of
    two that cannot be told apart, neither is served as the other.
    """
    digests: dict[str, bytes] = {}
    for tenant, folder in folders.items():
        try:
            token = read_token(folder)
        except OSError as error:  # of one tenant: the others must not wait for its repair
            log.error("tenant is refused: its credential cannot be read", tenant=tenant, reason=error.strerror)  # noqa: TRY400
            continue
        if token is None:
            log.warning("tenant is refused: its credential is not there", tenant=tenant)
        else:
            digests[tenant] = hashlib.sha256(token).digest()
    times = Counter(digests.values())
    alike = sorted(tenant for tenant, digest in digests.items() if times[digest] > 1)
    if alike:
        log.error("tenants are refused: they have the same credential", tenants=alike)
    return {tenant: digest for tenant, digest in digests.items() if times[digest] == 1}


def holder(presented: bytes, keyring: Keyring) -> str | None:
    """The name of the API key that `presented` is."""
    return _holder(hashlib.sha256(presented).digest(), keyring.digests)


def bearer(authorization: bytes | None) -> bytes | None:
    """The credential of the scheme Bearer (RFC 6750)."""
    scheme, _, credential = (authorization or b"").strip().partition(b" ")
    return credential.strip() or None if scheme.lower() == b"bearer" else None


def _holder(digest: bytes, digests: Mapping[str, bytes]) -> str | None:
    """Compares with every key, whichever fits: the time tells nothing."""
    holder = None
    for name, known in digests.items():
        if hmac.compare_digest(digest, known):
            holder = name
    return holder
