"""Problems with the Secret of a tenant's API keys. They name the Secret and its entries, never a value."""

from collections.abc import Sequence

from tts_operator.credentials.api_keys import KeyEntries
from tts_operator.objects.keys import Key
from tts_operator.objects.names import keys_secret_name
from tts_operator.objects.problem import Problem
from tts_server.config.api_keys import HEX_DIGITS

MOST_NAMES = 5
"""Maximum names in a message."""


def keys_not_found(key: Key, secret: str) -> Problem:
    """The Secret does not exist."""
    source = "" if secret == keys_secret_name(key.name) else ", named by spec.auth.apiKeysSecretRef,"
    return Problem(
        "KeysNotFound",
        f"Secret {secret}{source} does not exist in namespace {key.namespace}, so every request is rejected:"
        f" create it with `{keygen(key)}`",
    )


def keys_unusable(key: Key, secret: str, entries: KeyEntries) -> Problem | None:
    """Entries that the server ignores, or no entry at all; None if there are keys, and all of them work."""
    bad = (*entries.plain, *entries.malformed)
    if entries.usable and not bad:
        return None
    subject = f"Secret {secret} in namespace {key.namespace}"
    if not bad:
        return Problem(
            "KeysUnusable", f"{subject} has no entry, so every request is rejected: add a key with `{keygen(key)}`"
        )
    faults = [
        fault(entries.plain, "looks like a key in plain text: treat it", "look like keys in plain text: treat them"),
        fault(entries.malformed, "is not the SHA-256 of a key", "are not SHA-256 hashes of keys"),
    ]
    ends = (" as leaked", f" in {HEX_DIGITS} hexadecimal digits")
    told = "; ".join(sentence + end for sentence, end in zip(faults, ends, strict=True) if sentence)
    works = "the other one works" if entries.usable == 1 else f"the other {entries.usable} work"
    effect = works if entries.usable else "no other entry is usable, so every request is rejected"
    entry = "this entry" if len(bad) == 1 else "these entries"
    return Problem(
        "KeysUnusable", f"{subject}: {told}; {effect}. Remove {entry}, and add a new key with `{keygen(key)}`"
    )


def keygen(key: Key) -> str:
    """Command that adds a key to the Secret that the tenant reads; it makes the Secret if there is none."""
    return f"kubectl tts keygen --tenant {key.name} -n {key.namespace}"


def fault(names: Sequence[str], one: str, several: str) -> str:
    """Sentence about these entries; empty without any."""
    if not names:
        return ""
    shown, more = ", ".join(names[:MOST_NAMES]), len(names) - MOST_NAMES
    subject = f"entries {shown} and {more} more" if more > 0 else f"entries {shown}"
    return f"{subject} {several}" if len(names) > 1 else f"entry {shown} {one}"
