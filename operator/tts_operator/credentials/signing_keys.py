"""The keys that sign a tenant's access tokens: made, announced, used, and kept until the last token of theirs is over.

    made ------------> signs ------------------------> checks -------> gone
         10 minutes          until the next one signs        10 minutes

Servers and callers keep a published set of keys for five minutes, and a token lives for five: a key is published for
twice that before it signs, and for twice that after it does no more. Its name is the instant at which it was made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PERIOD = timedelta(days=30)
"""From one key to the next."""
ANNOUNCED = timedelta(minutes=10)
OVERLAP = timedelta(minutes=10)
PEM = ".pem"
CURRENT = "current"
"""Entries of the Secret: `<kid>.pem`, and the kid that signs."""
KEY_BITS = 2048
KID = "%Y%m%dT%H%M%SZ"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SigningKeys:
    """What the tenant's Secret holds."""

    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """PEM by kid."""
    current: str = ""
    """The kid that signs."""
    since: datetime | None = None
    """When it began to; None where nobody noted it."""


@dataclass(frozen=True)
class KeyRotation:
    """What the Secret should hold now, and when that changes by itself."""

    keys: SigningKeys
    requeue_at: datetime


def due(stored: SigningKeys, now: datetime) -> str | None:
    """The kid of a key that has to be made now; None while the newest one is good."""
    newest = max(map(made, stored.keys), default=None)
    return kid_of(now) if newest is None or now - newest >= PERIOD else None


def turn(stored: SigningKeys, now: datetime) -> KeyRotation:
    """Which key signs, and which ones stay. `stored.keys` holds at least one: what is `due` has been added."""
    by_age = sorted(stored.keys, key=lambda kid: (made(kid), kid))
    announced = [kid for kid in by_age if now - made(kid) >= ANNOUNCED]
    # The very first key signs at once: there is nobody whom another one could serve meanwhile.
    current = announced[-1] if announced else by_age[0]
    if stored.current in stored.keys and made(stored.current) > made(current):
        current = stored.current  # a clock that was set back takes no key back
    since = stored.since if stored.current == current and stored.since is not None else now
    position = by_age.index(current)
    over = now >= since + OVERLAP
    kept = by_age[position:] if over else by_age
    moments = [made(by_age[-1]) + PERIOD, *(made(kid) + ANNOUNCED for kid in by_age[position + 1 :])]
    if position and not over:
        moments.append(since + OVERLAP)
    keys = SigningKeys({kid: stored.keys[kid] for kid in kept}, current, since)
    return KeyRotation(keys, min(moments))


def kid_of(instant: datetime) -> str:
    """The name of a key that is made then."""
    return instant.astimezone(UTC).strftime(KID)


def made(kid: str) -> datetime:
    """When it was. A key that somebody else put there is old: the next one replaces it."""
    try:
        return datetime.strptime(kid, KID).replace(tzinfo=UTC)
    except ValueError:
        return LONG_AGO


def generate() -> str:
    """A new private key, as PEM. It takes a tenth of a second of the processor: not on the event loop."""
    key = rsa.generate_private_key(65_537, KEY_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
