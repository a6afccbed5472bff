"""API keys as files: each holds the SHA-256 of one key in hexadecimal, and has the name of the key."""

import hashlib
import re
import string

HEX_DIGITS = hashlib.sha256().digest_size * 2
NAME = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")
"""Names of keys: what both an entry of a Secret and a field manager may be called."""
PREFIXES = re.compile(r"(tts_|[sp]k[-_]|gh[a-z]_|github_pat_|glpat-|xox[a-z]-|hf_|AKIA|AIza|eyJ)")
"""Beginnings of keys of this project and of other services."""
LONG = 20
"""Length of a random text that is worth to be guessed, without the dashes and dots in it."""
LONG_WORD = re.compile(r"[A-Za-z0-9]{16,}")
HEXADECIMAL = re.compile(r"[0-9a-f]{24,}|[0-9A-F]{24,}")
KINDS = re.compile(r"[0-9]+|[A-Za-z]+")
"""Runs of digits and of letters."""


def is_key_file(name: str) -> bool:
    """Whether a file of this name holds a key: Kubernetes keeps the revisions of a volume in hidden folders."""
    return not name.startswith(".")


def shown_name(name: str, position: int | None = None) -> str:
    """The name of a key for logs and messages; its length, and its position if known, if it may be a key itself."""
    if NAME.fullmatch(name) and not may_be_a_key(name):
        return name
    which = "one" if position is None else f"number {position}"
    return f"{which} (its name of {len(name)} characters may be a key, and is not shown)"


def may_be_a_key(name: str) -> bool:
    """Whether a name looks random, as that of an entry does whose name and value were mixed up.

    A long word is random if it changes between digits and letters, or has many capitals: unlike `production2026` or
    `MobileApplication`.
    """
    whole = re.sub("[-._]", "", name)
    if PREFIXES.match(name) or HEXADECIMAL.search(whole):
        return True
    return (len(whole) >= LONG and _is_random(whole, 5)) or any(_is_random(word, 3) for word in LONG_WORD.findall(name))


def _is_random(text: str, most_runs: int) -> bool:
    capitals = sum(letter.isupper() for letter in text)
    mixed = 4 * capitals > len(text) and not text.isupper()
    return text.isdigit() or mixed or len(KINDS.findall(text)) > most_runs


def key_digest(content: bytes) -> bytes | None:
    """The SHA-256 that the file holds; None if it holds anything else. White space around it is ignored."""
    text = content.decode("utf-8", "replace").strip()
    usable = len(text) == HEX_DIGITS and set(text) <= set(string.hexdigits)
    return bytes.fromhex(text) if usable else None
