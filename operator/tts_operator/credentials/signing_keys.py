"""Rotation of the keys that sign a tenant's access tokens.

    created -----------> signs --------------------------> verifies ------> removed
            10 minutes         until the next one signs             10 minutes

Servers and callers cache a published set of keys for five minutes, and a token is valid for five. So a key is published
for twice that before it signs, and for twice that after it last signed. Its kid is the time at which it was created.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PERIOD = timedelta(days=30)
"""Signing-key rotation period."""
PUBLISH_BEFORE = timedelta(minutes=10)
PUBLISH_AFTER = timedelta(minutes=10)
PEM = ".pem"
CURRENT = "current"
"""Keys in the Secret: `<kid>.pem` holds a private key, `current` the kid that signs."""
KEY_BITS = 2048
KID_FORMAT = "%Y%m%dT%H%M%SZ"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
UNLIKELY = datetime(3000, 1, 1, tzinfo=UTC)
"""No operator made a key later than this; dates near the end of the calendar cannot be added to."""


@dataclass(frozen=True)
class SigningKeys:
    """Contents of the tenant's Secret with signing keys."""

    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Private key as PEM, by kid."""
    current: str = ""
    """Kid of the key that signs."""
    since: datetime | None = None
    """Time at which that key began to sign; None if it is not recorded."""


@dataclass(frozen=True)
class KeyRotation:
    """Desired contents of the Secret, and when they next change."""

    keys: SigningKeys
    requeue_at: datetime


def due(stored: SigningKeys, now: datetime) -> str | None:
    """The kid of a key to create now; None while the newest key is younger than PERIOD."""
    newest = max(map(created_at, stored.keys), default=None)
    return kid_of(now) if newest is None or now - newest >= PERIOD else None


def rotation(stored: SigningKeys, now: datetime) -> KeyRotation:
    """The key that signs and the keys that stay. `stored.keys` has at least one key: a `due` one has been added."""
    by_age = sorted(stored.keys, key=lambda kid: (created_at(kid), kid))
    published = [kid for kid in by_age if now - created_at(kid) >= PUBLISH_BEFORE]
    # The very first key signs at once: there is no other key that could sign in the meantime.
    current = published[-1] if published else by_age[0]
    if stored.current in stored.keys and created_at(stored.current) > created_at(current):
        current = stored.current  # a clock that is set back does not bring back an older key
    since = stored.since if stored.current == current and stored.since is not None else now
    position = by_age.index(current)
    older_expired = now >= since + PUBLISH_AFTER
    kept = by_age[position:] if older_expired else by_age
    times = [created_at(by_age[-1]) + PERIOD, *(created_at(kid) + PUBLISH_BEFORE for kid in by_age[position + 1 :])]
    if position and not older_expired:
        times.append(since + PUBLISH_AFTER)
    keys = SigningKeys({kid: stored.keys[kid] for kid in kept}, current, since)
    return KeyRotation(keys, min(times))


def kid_of(instant: datetime) -> str:
    """The kid of a key that is created at this instant."""
    return instant.astimezone(UTC).strftime(KID_FORMAT)


def created_at(kid: str) -> datetime:
    """Time in the kid; for another kid the epoch, so that a key of this operator soon replaces it."""
    try:
        created = datetime.strptime(kid, KID_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return LONG_AGO
    return created if created < UNLIKELY else LONG_AGO


def generate() -> str:
    """A new private key as PEM. It takes about 0.1 s of CPU time: call it off the event loop."""
    key = rsa.generate_private_key(65_537, KEY_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
