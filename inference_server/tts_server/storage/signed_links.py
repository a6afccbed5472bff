"""Links that carry their own permission: signed, and good for a while."""

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
    """What a link says besides the key."""

    replica: str
    expires: int
    signature: str


@dataclass(frozen=True, slots=True)
class Links:
    """Makes and checks links to one replica's files. `owner` is the tenant's UID: a namesake's links do not fit."""

    secret: bytes = field(repr=False)
    owner: str
    now: Callable[[], float] = time.time
    place: str = ""
    """Where the other replicas find this one; empty where there are none."""

    @property
    def replica(self) -> str:
        """Tells replicas apart, those that had one address after the other too: local files are on one of them."""
        return self.place + hashlib.sha256(b"replica" + self.secret).hexdigest()[: 2 * REPLICA_BYTES]

    def allow(self, key: str, seconds: int) -> LinkGrant:
        """Permission to fetch `key` for so many seconds."""
        expires = int(self.now()) + seconds
        return LinkGrant(self.replica, expires, self._sign(key, expires))

    def is_elsewhere(self, permission: LinkGrant) -> bool:
        """Whether another replica may know this link, and its time is not over: then only that one can check it."""
        named = permission.replica
        other = len(named) == len(self.replica) and not named.startswith(self.place)
        return bool(self.place) and other and permission.expires > self.now()

    def check(self, key: str, permission: LinkGrant) -> None:
        """Raises `PermissionDenied` for a link that was not made here, `AudioGone` for one whose time is over."""
        if permission.replica != self.replica:
            raise AudioGone("This audio is a file of another replica, which may be gone by now.")
        signature = self._sign(key, permission.expires)
        if not KEY.fullmatch(key) or not hmac.compare_digest(permission.signature.encode(), signature.encode()):
            raise PermissionDenied("The link's signature does not fit.")
        if permission.expires <= self.now():
            raise AudioGone("The link has expired.")

    def _sign(self, key: str, expires: int) -> str:
        message = f"{self.owner}\n{key}\n{expires}".encode()
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()


def link_secret(directory: Path) -> bytes:
    """The folder's secret, made at the first call: links outlive a restart as the files do. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / SECRET_FILE
    fresh = directory / f"{SECRET_FILE}-{secrets.token_hex(8)}"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(SECRET_BYTES))
    try:
        os.link(fresh, path)  # whole, or not at all: two servers that start at once share the first one's
    except FileExistsError:
        if path.stat().st_size != SECRET_BYTES:
            fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path.read_bytes()
