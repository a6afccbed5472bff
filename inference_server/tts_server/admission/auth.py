"""Who calls: API keys known by their SHA-256, or the credential between the pools of one tenant."""

import hashlib
import hmac
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tts_server.config import AuthConfig, AuthMode
from tts_server.errors import Unauthenticated

log = structlog.get_logger(__name__)

TOKEN_FILE = "token"  # noqa: S105 - a file's name
ANONYMOUS = ""


@dataclass(frozen=True, slots=True)
class Keyring:
    """What proves an identity here. Digests and tokens only: no API key is ever held longer than its request."""

    digests: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Name of a key to its SHA-256."""
    token: bytes | None = field(default=None, repr=False)
    """The internal credential."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was let in: the name of its key, which may be logged; empty where none was asked for."""

    key: str = ANONYMOUS
    internal: bool = False
    """The tenant's entry pool: it has prepared the text, and counted the request."""


def authenticate(authorization: bytes | None, auth: AuthConfig, keyring: Keyring, *, member: bool) -> Caller:
    """The caller behind an `Authorization` header. Raises `Unauthenticated`.

    `member`: this pool is only for the tenant's entry pool, which alone holds the internal credential.
    """
    presented = _bearer(authorization)
    if member:
        if presented is None or keyring.token is None or not hmac.compare_digest(presented, keyring.token):
            raise Unauthenticated("This pool is reached through its tenant's own endpoint only.")
        return Caller(internal=True)
    if authorization is None:
        if AuthMode.NONE in auth.modes:
            return Caller()
        raise Unauthenticated("An API key is required: send it as 'Authorization: Bearer <key>'.")
    if AuthMode.API_KEY not in auth.modes:
        return Caller()  # clients of this API always send a key, whether or not one is needed
    if presented is None:
        raise Unauthenticated("The Authorization header must be 'Bearer <key>'.")
    name = _holder(hashlib.sha256(presented).digest(), keyring.digests)
    if name is None:
        raise Unauthenticated("No such API key here.")
    return Caller(key=name)


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


def _bearer(authorization: bytes | None) -> bytes | None:
    scheme, _, credential = (authorization or b"").strip().partition(b" ")
    return credential.strip() or None if scheme.lower() == b"bearer" else None


def _holder(digest: bytes, digests: Mapping[str, bytes]) -> str | None:
    """Compares with every key, whichever fits: the time tells nothing."""
    holder = None
    for name, known in digests.items():
        if hmac.compare_digest(digest, known):
            holder = name
    return holder
