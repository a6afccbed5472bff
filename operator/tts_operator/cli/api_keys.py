"""API keys. A tenant's Secret holds the SHA-256 of each key, never the key itself."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field

from tts_operator.credentials.api_keys import PREFIX


@dataclass(frozen=True, slots=True)
class APIKey:
    """Random key of 256 bits, and the name by which it can be revoked."""

    name: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls, name: str | None = None) -> APIKey:
        """New key. Its default name comes from its hash, so that two keys do not overwrite each other."""
        secret = PREFIX + secrets.token_urlsafe(32)
        return cls(name or f"key-{hashed(secret)[:8]}", secret)


def hashed(secret: str) -> str:
    """SHA-256 in hex, which is stored. A key of 256 random bits needs no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def entry(key: APIKey) -> str:
    """Value of the key's entry in `data` of a Secret: base64 of its hash in hex."""
    return base64.b64encode(hashed(key.secret).encode()).decode()


def secret_manifest(key: APIKey, secret_name: str, namespace: str | None) -> str:
    """Secret with this one entry, as YAML, with the command that keeps the Secret's other entries."""
    return "\n".join(
        [
            "# This command adds the key and keeps those of other field managers. Two files with one field manager",
            "# remove each other's keys.",
            f"#   kubectl apply --server-side --field-manager=tts-key-{key.name} -f FILE",
            "apiVersion: v1",
            "kind: Secret",
            "metadata:",
            f"  name: {secret_name}",
            *([f"  namespace: {namespace}"] if namespace else []),
            "type: Opaque",
            "data:",
            f"  {key.name!r}: {entry(key)}  # base64 of the key's SHA-256 in hex",
            "",
        ]
    )
