"""The files of a shared pool's tenants: `tenants-00.json` to `tenants-15.json`, so that a change rewrites one of them.

A file is `{"tenants": {"<namespace>.<name>": {...}}}`. Each entry is checked by itself: a mistake in one leaves the
others as they are.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from tts_server.config.config_model import ConfigModel
from tts_server.config.files import LARGEST_FILE_BYTES, BrokenFile, FailedForNow, mistakes
from tts_server.config.schema import AuthMode, CacheConfig, LanguageRoute, Precision, PublicURL, QuotaConfig, Weight

SHARDS = 16
MOST_KEYS = 100
TENANT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
"""`<namespace>.<name>`."""
KeyDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SharedTenant(ConfigModel):
    """Tenant whose callers a shared pool serves: an entry of `tenants-<00 to 15>.json`."""

    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """UID of the TTSTenant, kept with its counters, cache and links: a later tenant of its name inherits nothing."""
    weight: Weight = 1.0
    """Weight among the tenants of the pool, while several wait."""
    auth_modes: Annotated[tuple[AuthMode, ...], Field(min_length=1, max_length=2)] = (AuthMode.API_KEY,)
    """Accepted credentials, by which its requests are told from other tenants': APIKey, JWT or both."""
    keys: Annotated[dict[str, KeyDigest], Field(max_length=MOST_KEYS)] = {}
    """SHA-256 of its API keys in hexadecimal, by name. A key that two tenants list is accepted for neither."""
    quota: QuotaConfig = QuotaConfig()
    """Its limits."""
    precision: Precision | None = None
    """Precision of requests that name none; unset: the model's."""
    allowed_precisions: Annotated[tuple[Precision, ...], Field(min_length=1)] | None = None
    """Precisions that requests may name, out of the model's; unset: all of these."""
    model_aliases: dict[str, str] = {}
    """Model names by alias."""
    voice_aliases: dict[str, str] = {}
    """Voice names by alias."""
    language_routing: tuple[LanguageRoute, ...] = ()
    """Voices of requests that name none, and of text in a language that the request's voice does not speak."""
    cache: CacheConfig = CacheConfig()
    """Its cache. All tenants together get the pool's `cache.maxBytes`."""
    public_url: PublicURL | None = None
    """URL at which its callers reach the pool, for links; unset: as the pool's."""
    link_seconds: Annotated[int, Field(ge=1)] | None = None
    """How long its links are valid; unset: as the pool's."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The content of one file."""

    digest: bytes = b""
    """SHA-256 of the file's bytes."""
    tenants: dict[str, SharedTenant] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    """Mistakes in the entries that cannot be used, by tenant."""


def shard_of(tenant: str) -> int:
    """The number of the file that a tenant belongs to."""
    return hashlib.sha256(tenant.encode()).digest()[0] % SHARDS


def shard_file(number: int) -> str:
    """The name of a file."""
    return f"tenants-{number:02}.json"


def read_shard(path: Path, known: bytes = b"") -> Shard | None:
    """Read a file, or None if its bytes have the digest `known`.

    Raises `BrokenFile` if no entry can be read, and `FailedForNow` if the system cannot read the file.
    """
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise BrokenFile(f"{path} is larger than {LARGEST_FILE_BYTES} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise FailedForNow(f"{path}: {error.strerror}") from None
    digest = hashlib.sha256(content).digest()
    if digest == known:
        return None
    tenants: dict[str, SharedTenant] = {}
    broken: dict[str, str] = {}
    for name, entry in _entries(path, content).items():
        mistake = _mistake(name, entry)
        try:
            if mistake:
                broken[name] = mistake
            else:
                tenants[name] = SharedTenant.model_validate_json(json.dumps(entry))
        except ValidationError as error:
            broken[name] = mistakes(error)
    return Shard(digest, tenants, broken)


def _entries(path: Path, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise BrokenFile(f"{path} is not valid JSON") from None
    entries = document.get("tenants") if isinstance(document, dict) else None
    if not isinstance(entries, dict):
        raise BrokenFile(f'{path}: the document must be an object with "tenants", an object by tenant')
    return entries


def _mistake(name: str, entry: object) -> str:
    if not TENANT_NAME.fullmatch(name):
        return "the name must be <namespace>.<name>"
    if isinstance(entry, dict) and AuthMode.NONE in entry.get("authModes", ()):
        return "authModes: a credential tells the tenants of a shared pool apart: remove None"
    return ""
