"""Signed links, valid for a limited time."""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tts_server.errors import AudioGone, PermissionDenied
from tts_server.storage.protocol import KEY

SECRET_FILE = ".link-secret"  # noqa: S105 - a file's name
SECRET_BYTES = 32
REPLICA_BYTES = 8


@dataclass(frozen=True, slots=True)
class LinkGrant:
    """The query parameters of a link."""

    replica: str
    expires: int
    signature: str


@dataclass(frozen=True, slots=True)
class Links:
    """Makes and checks links to one replica's files. `owner` is the tenant's UID, which is part of the signature."""

    secret: bytes = field(repr=False)
    owner: str
    now: Callable[[], float] = time.time
    place: str = ""
    """`place_of` this replica's address; empty if there are no other replicas."""

    @property
    def replica(self) -> str:
        """Identifies the replica, also among those that had the same address one after the other."""
        return self.place + hashlib.sha256(b"replica" + self.secret).hexdigest()[: 2 * REPLICA_BYTES]

    def allow(self, key: str, seconds: int) -> LinkGrant:
        """A link to `key` that is valid for so many seconds."""
        expires = int(self.now()) + seconds
        return LinkGrant(self.replica, expires, self._sign(key, expires))

    def is_elsewhere(self, permission: LinkGrant) -> bool:
        """Whether the link is of another replica and has not expired: only that replica can check it."""
        named = permission.replica
        other = len(named) == len(self.replica) and not named.startswith(self.place)
        return bool(self.place) and other and permission.expires > self.now()

    def check(self, key: str, permission: LinkGrant) -> None:
        """Raises `PermissionDenied` for a forged link, `AudioGone` for an expired one or one of another replica."""
        if permission.replica != self.replica:
            raise AudioGone("This audio was stored by another replica, which may be gone.")
        signature = self._sign(key, permission.expires)
        if not KEY.fullmatch(key) or not hmac.compare_digest(permission.signature.encode(), signature.encode()):
            raise PermissionDenied("The link's signature is invalid.")
        if permission.expires <= self.now():
            raise AudioGone("The link has expired.")

    def _sign(self, key: str, expires: int) -> str:
        message = f"{self.owner}\n{key}\n{expires}".encode()
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()


def link_secret(directory: Path) -> bytes:
    """The folder's secret, created by the first call, so that links remain valid after a restart. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / SECRET_FILE
    fresh = directory / f"{SECRET_FILE}-{secrets.token_hex(8)}"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(SECRET_BYTES))
    try:
        os.link(fresh, path)  # atomic: of two servers that start at once the second uses the first one's
    except FileExistsError:
        if path.stat().st_size != SECRET_BYTES:
            fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path.read_bytes()
