"""A new API key, and the Secret entry by which a tenant's server knows it: its SHA-256, never the key."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field

PREFIX = "tts_"
"""Lets a person, and a scanner of repositories, tell what the string is."""
NAME = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")
"""What may name an entry of a Secret and a field manager."""


@dataclass(frozen=True, slots=True)
class APIKey:
    """A key of 256 bits, and the name by which its owner can revoke it."""

    name: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls, name: str | None = None) -> APIKey:
        """Without a name, the key is called after its hash, so that two keys never take each other's place."""
        secret = PREFIX + secrets.token_urlsafe(32)
        return cls(name or f"key-{hashed(secret)[:8]}", secret)


def hashed(secret: str) -> str:
    """SHA-256 in hex: what is stored. A key of 256 random bits needs no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_manifest(key: APIKey, secret_name: str, namespace: str | None) -> str:
    """The Secret with this one entry, as YAML, and how to apply it beside the entries that are there."""
    entry = base64.b64encode(hashed(key.secret).encode()).decode()
    return "\n".join(
        [
            "# Adds this key beside those that the Secret already holds:",
            f"#   kubectl apply --server-side --field-manager=tts-key-{key.name} -f FILE",
            "apiVersion: v1",
            "kind: Secret",
            "metadata:",
            f"  name: {secret_name}",
            *([f"  namespace: {namespace}"] if namespace else []),
            "type: Opaque",
            "data:",
            f"  {key.name!r}: {entry}  # base64 of the key's SHA-256 in hex",
            "",
        ]
    )
