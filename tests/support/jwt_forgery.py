"""Keys, folders of them, and JWTs as a forger would write them: byte by byte, without a library that has scruples."""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

Sign = Callable[[bytes], bytes]


@cache
def rsa_key(name: str, bits: int = 2048) -> RSAPrivateKey:
    """Make one key for each name in a run."""
    del name
    return generate_private_key(65_537, bits)


def pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signing_folder(folder: Path, current: str, **keys: RSAPrivateKey) -> Path:
    """As the operator's Secret is mounted."""
    folder.mkdir(exist_ok=True)
    for kid, key in keys.items():
        (folder / f"{kid}.pem").write_bytes(pem(key))
    (folder / "current").write_text(f"{current}\n")
    return folder


def keys_folder(folder: Path, **keys: str) -> Path:
    """API keys by name."""
    folder.mkdir(exist_ok=True)
    for name, key in keys.items():
        (folder / name).write_text(hashlib.sha256(key.encode()).hexdigest())
    return folder


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def rs256(key: RSAPrivateKey) -> Sign:
    return lambda message: key.sign(message, padding.PKCS1v15(), hashes.SHA256())


@dataclass
class Forger:
    """Knows everything about a tenant's tokens; holds its key, too, where an attack is about something else."""

    key: RSAPrivateKey
    kid: str = "k1"
    issuer: str = "ttsfleet:uid-acme"
    tenant: str = "team-acme.acme"
    now: float = field(default_factory=time.time)

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": "RS256", "kid": self.kid, "typ": "at+jwt"}

    @property
    def claims(self) -> dict[str, Any]:
        now = int(self.now)
        return {
            "iss": self.issuer, "aud": f"ttsfleet:{self.tenant}", "sub": "app", "tenant": self.tenant,
            "iat": now, "nbf": now, "exp": now + 300, "jti": "1",
        }  # fmt: skip

    def token(
        self, header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None, sign: Sign | None = None
    ) -> str:
        """The good one, with changes; `...` takes a field away."""
        merged = [
            {name: value for name, value in (good | changes).items() if value is not ...}
            for good, changes in ((self.header, header or {}), (self.claims, claims or {}))
        ]
        return self.raw(json.dumps(merged[0]), json.dumps(merged[1]), sign)

    def raw(self, header: str | bytes, claims: str | bytes, sign: Sign | None = None) -> str:
        """Whatever these are, signed."""
        parts = [base64url(part.encode() if isinstance(part, str) else part) for part in (header, claims)]
        message = ".".join(parts)
        return f"{message}.{base64url((sign or rs256(self.key))(message.encode()))}"
