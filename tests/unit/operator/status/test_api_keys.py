"""Messages about the Secret with API keys."""

from __future__ import annotations

import pytest

from tests.support.resources import KEY
from tts_operator.credentials.api_keys import KeyEntries
from tts_operator.status.api_keys import keys_unusable

KEYGEN = "`kubectl tts keygen --tenant acme -n team-acme`"
SUBJECT = "Secret acme-keys in namespace team-acme"
MESSAGES: dict[str, tuple[KeyEntries, str]] = {
    "one in plain text, and none that works": (
        KeyEntries(0, plain=("mobile",)),
        f"{SUBJECT}: entry mobile looks like a key in plain text: treat it as leaked; no other entry is usable, so"
        f" every request is rejected. Remove this entry, and add a new key with {KEYGEN}",
    ),
    "two in plain text beside one that works": (
        KeyEntries(1, plain=("mobile", "web")),
        f"{SUBJECT}: entries mobile, web look like keys in plain text: treat them as leaked; the other one works."
        f" Remove these entries, and add a new key with {KEYGEN}",
    ),
    "one that is no hash beside others": (
        KeyEntries(3, malformed=("web",)),
        f"{SUBJECT}: entry web is not the SHA-256 of a key in 64 hexadecimal digits; the other 3 work. Remove"
        f" this entry, and add a new key with {KEYGEN}",
    ),
    "both kinds": (
        KeyEntries(0, plain=("a",), malformed=("b", "c")),
        f"{SUBJECT}: entry a looks like a key in plain text: treat it as leaked; entries b, c are not SHA-256 hashes of"
        " keys in 64 hexadecimal digits; no other entry is usable, so every request is rejected. Remove these"
        f" entries, and add a new key with {KEYGEN}",
    ),
    "no entry": (
        KeyEntries(),
        f"{SUBJECT} has no entry, so every request is rejected: add a key with {KEYGEN}",
    ),
}


@pytest.mark.parametrize(("entries", "message"), MESSAGES.values(), ids=MESSAGES)
def test_the_message_names_the_entries_and_the_command(entries: KeyEntries, message: str) -> None:
    assert keys_unusable(KEY, "acme-keys", entries) == ("KeysUnusable", message)


def test_many_entries_are_counted() -> None:
    names = tuple(f"key-{number}" for number in range(8))
    found = keys_unusable(KEY, "acme-keys", KeyEntries(0, malformed=names))
    assert found is not None
    assert "entries key-0, key-1, key-2, key-3, key-4 and 3 more are not" in found.message


def test_a_secret_whose_keys_all_work_is_no_problem() -> None:
    assert keys_unusable(KEY, "acme-keys", KeyEntries(2)) is None
