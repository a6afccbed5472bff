"""API keys as files: each holds the SHA-256 of one key in hexadecimal, and has the name of the key."""

import hashlib
import string

HEX_DIGITS = hashlib.sha256().digest_size * 2


def is_key_file(name: str) -> bool:
    """Whether a file of this name holds a key: Kubernetes keeps the revisions of a volume in hidden folders."""
    return not name.startswith(".")


def key_digest(content: bytes) -> bytes | None:
    """The SHA-256 that the file holds; None if it holds anything else. White space around it is ignored."""
    text = content.decode("utf-8", "replace").strip()
    usable = len(text) == HEX_DIGITS and set(text) <= set(string.hexdigits)
    return bytes.fromhex(text) if usable else None
