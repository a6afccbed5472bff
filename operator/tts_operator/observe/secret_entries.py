"""Decodes the Secrets that the operator reads. Whatever cannot be decoded counts as absent."""

import base64
import binascii
from datetime import datetime

from tts_operator.credentials.api_keys import KeyEntries, key_entries
from tts_operator.credentials.shared_stores import URL
from tts_operator.credentials.signing_keys import CURRENT, PEM, SigningKeys
from tts_operator.objects.fields import annotation
from tts_operator.objects.labels import SIGNING_SINCE
from tts_operator.objects.manifest import Body
from tts_operator.objects.ownership import controlled_by
from tts_server.config.redis_url import BadRedisURL, parse_redis_url


def entry(secret: Body, name: str) -> str | None:
    """Text of one entry; None where it is missing or not UTF-8."""
    value = (secret.get("data") or {}).get(name)
    try:
        return None if value is None else base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def stored_key_entries(secret: Body) -> KeyEntries:
    """Names of the entries of a Secret with API keys, by whether the server can use them. Their values are dropped."""
    return key_entries({name: base64.b64decode(value) for name, value in (secret.get("data") or {}).items()})


def stored_token(secret: Body | None, uid: str) -> str:
    """Credential between a tenant's pools in the tenant's own Secret; empty without one."""
    return (entry(secret, "token") or "") if secret is not None and controlled_by(secret, uid) else ""


def stored_password(secret: Body | None, uid: str) -> str:
    """Password of a tenant's user in the operator's Redis, in the tenant's own Secret; empty without one."""
    if secret is None or not controlled_by(secret, uid):
        return ""
    try:
        return parse_redis_url(entry(secret, URL) or "").password or ""
    except BadRedisURL:
        return ""


def stored_signing_keys(secret: Body | None, uid: str) -> SigningKeys:
    """Signing keys in the tenant's own Secret."""
    if secret is None or not controlled_by(secret, uid):
        return SigningKeys()
    entries = {name: entry(secret, name) or "" for name in secret.get("data") or {}}
    keys = {name.removesuffix(PEM): text for name, text in entries.items() if name.endswith(PEM) and text.isascii()}
    return SigningKeys({kid: pem for kid, pem in keys.items() if pem}, entries.get(CURRENT, ""), _signing_since(secret))


def _signing_since(secret: Body) -> datetime | None:
    try:
        since = datetime.fromisoformat(annotation(secret, SIGNING_SINCE))
    except ValueError:
        return None
    return since if since.tzinfo else None
