"""The keys that sign this tenant's tokens: in a mounted folder, or one that is generated at start without one.

Rotation   a.pem, current = a -> a.pem, b.pem, current = a -> a.pem, b.pem, current = b -> b.pem, current = b
           Wait after the second step until all replicas and readers of the key set know b, and after the third until
           the last token that was signed with a has expired.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import RSAAlgorithm

from tts_server.config.files import BrokenFile, FailedForNow

CURRENT_FILE = "current"
KEY_SUFFIX = ".pem"
KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
KEY_BITS = 2048
LARGEST_KEY_BITS = 8192
LARGEST_FILE_BYTES = 16_384
MOST_KEYS = 8


@dataclass(frozen=True)
class SigningKeys:
    """Private keys by kid. `current` signs; all of them verify."""

    current: str
    private: Mapping[str, RSAPrivateKey] = field(repr=False)

    @cached_property
    def public(self) -> Mapping[str, RSAPublicKey]:
        """The public keys by kid."""
        return {kid: key.public_key() for kid, key in self.private.items()}

    @cached_property
    def key_set(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys as a JWK set (RFC 7517)."""
        keys = sorted(self.public.items())
        return {"keys": [public_jwk(kid, key) for kid, key in keys]}


def public_jwk(kid: str, key: RSAPublicKey) -> dict[str, Any]:
    """A public key as a JWK."""
    fields = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": fields["n"], "e": fields["e"]}


def generate_keys() -> SigningKeys:
    """A new key, which is lost with this process. Takes tenths of a second: call it in a thread."""
    kid = secrets.token_hex(8)
    return SigningKeys(kid, {kid: generate_private_key(65_537, KEY_BITS)})


def read_signing_keys(directory: Path) -> SigningKeys:
    """The keys in a mounted Secret. Raises `BrokenFile`, which names the file and quotes nothing of it."""
    try:
        names = sorted(
            file.name.removesuffix(KEY_SUFFIX) for file in directory.iterdir() if file.name.endswith(KEY_SUFFIX)
        )
        current = (directory / CURRENT_FILE).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise BrokenFile(f"{directory} must hold {CURRENT_FILE}, the kid that signs, and <kid>{KEY_SUFFIX}") from None
    if len(names) > MOST_KEYS:
        raise BrokenFile(f"{directory} holds more than {MOST_KEYS} keys")
    keys = {name: _read_key(directory / f"{name}{KEY_SUFFIX}", name) for name in names}
    if current not in keys:
        raise BrokenFile(f"{directory / CURRENT_FILE} names a key that the folder does not contain")
    return SigningKeys(current, keys)


def _read_key(file: Path, kid: str) -> RSAPrivateKey:
    if not KEY_NAME.fullmatch(kid):
        raise BrokenFile(f"{file}: the name of a key's file must consist of letters, digits, - and _")
    try:
        if file.stat().st_size > LARGEST_FILE_BYTES:
            raise BrokenFile(f"{file} is larger than {LARGEST_FILE_BYTES} bytes")
        key = load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        raise FailedForNow(f"{file}: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if isinstance(error, BrokenFile):
            raise
        raise BrokenFile(f"{file} is not a PEM private key without a password") from None
    if not isinstance(key, RSAPrivateKey) or not KEY_BITS <= key.key_size <= LARGEST_KEY_BITS:
        raise BrokenFile(f"{file} must be an RSA key of {KEY_BITS} to {LARGEST_KEY_BITS} bits")
    return key
