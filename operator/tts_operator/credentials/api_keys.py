"""API keys in a tenant's Secret: the form of a key, and what is wrong with entries that are no hashes."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import NamedTuple

from tts_server.config.api_keys import HEX_DIGITS, is_key_file, key_digest, shown_name

PREFIX = "tts_"
"""Prefix by which people and secret scanners recognize a key."""
PLAIN_KEY = re.compile(r"[!-~]{16,}")
"""A word as long as a credential. A placeholder such as TODO is shorter."""
HEXADECIMAL = re.compile(rf"[0-9A-Fa-f]{{{HEX_DIGITS}}}")


class KeyEntries(NamedTuple):
    """Entries of a Secret with API keys, by name as it may be shown. No value is kept."""

    usable: int = 0
    """Number of entries that hold a hash."""
    plain: tuple[str, ...] = ()
    """Entries that seem to hold a key itself."""
    malformed: tuple[str, ...] = ()
    """Other entries that the server ignores."""


def key_entries(data: Mapping[str, bytes]) -> KeyEntries:
    """Sort the entries of a Secret, as files of its volume, by what the server makes of them."""
    entries = {name: content for name, content in sorted(data.items()) if is_key_file(name)}
    named = ((shown_name(name, position), content) for position, (name, content) in enumerate(entries.items(), 1))
    unusable = {name: content for name, content in named if key_digest(content) is None}
    plain = tuple(name for name, content in unusable.items() if looks_plain(content))
    return KeyEntries(len(entries) - len(unusable), plain, tuple(name for name in unusable if name not in plain))


def key_digests(data: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each usable key in hexadecimal, by its name as it may be shown: for a file that is no Secret."""
    entries = {name: content for name, content in sorted(data.items()) if is_key_file(name)}
    found = ((shown_name(name, position), key_digest(entries[name])) for position, name in enumerate(entries, 1))
    return {name: digest.hex() for name, digest in found if digest is not None}


def looks_plain(content: bytes) -> bool:
    """Whether an entry that is no hash seems to be a key itself, and not a hash in another form."""
    text = content.decode("utf-8", "replace").strip()
    if text.startswith(PREFIX):
        return True
    return PLAIN_KEY.fullmatch(text) is not None and not any(map(HEXADECIMAL.search, (text, _decoded(text))))


def _decoded(text: str) -> str:
    """Text that was encoded once more than a Secret asks for; empty if it is not base64."""
    try:
        return base64.b64decode(text, validate=True).decode("ascii", "replace")
    except (binascii.Error, ValueError):
        return ""
