"""Entries of a Secret with API keys are judged as the server reads them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.mounted_volume import MountedVolume
from tts_operator.cli.api_keys import APIKey
from tts_operator.credentials.api_keys import KeyEntries, key_entries
from tts_server.auth.authenticate import read_digests

KEY = APIKey.new("app").secret
HASH = hashlib.sha256(KEY.encode()).hexdigest()
ENTRIES: dict[str, tuple[str, str]] = {
    "a hash": (HASH, "usable"),
    "a hash with the end of a line": (f" {HASH}\n", "usable"),
    "a hash in capitals": (HASH.upper(), "usable"),
    "a key": (KEY, "plain"),
    "a short key": ("tts_1", "plain"),
    "a key with the end of a line": (KEY + "\n", "plain"),
    "what openssl rand -base64 prints": (base64.b64encode(bytes(range(32))).decode(), "plain"),
    "a key of another service": ("sk-proj-abcdefghijklmnop", "plain"),
    "what openssl rand -hex 16 prints": ("00112233445566778899aabbccddeeff", "plain"),
    "what sha256sum prints": (f"{HASH}  -", "malformed"),
    "a hash with its algorithm": (f"sha256:{HASH}", "malformed"),
    "a hash that was encoded twice": (base64.b64encode(HASH.encode()).decode(), "malformed"),
    "a hash that was encoded twice with its line's end": (base64.b64encode(f"{HASH}\n".encode()).decode(), "malformed"),
    "nothing": ("", "malformed"),
    "a placeholder": ("TODO", "malformed"),
    "a sentence": ("the key of the mobile application", "malformed"),
}


@pytest.mark.parametrize(("content", "kind"), ENTRIES.values(), ids=ENTRIES)
def test_an_entry_is_sorted_by_what_it_holds(content: str, kind: str) -> None:
    expected = {
        "usable": KeyEntries(1),
        "plain": KeyEntries(0, plain=("app",)),
        "malformed": KeyEntries(0, malformed=("app",)),
    }
    assert key_entries({"app": content.encode()}) == expected[kind]


def test_an_entry_whose_name_is_a_key_is_told_by_its_position() -> None:
    """Somebody mixed up name and value: neither may appear in a status."""
    found = key_entries({"app": HASH.encode(), KEY: b"mobile", "zoo": b"TODO"})
    assert KEY not in str(found)
    assert found.malformed == (f"number 2 (its name of {len(KEY)} characters may be a key, and is not shown)", "zoo")


def test_bytes_that_are_no_text_are_no_key() -> None:
    assert key_entries({"app": b"\xff\xfe" * 20}) == KeyEntries(0, malformed=("app",))


def test_hidden_files_are_no_entries() -> None:
    assert key_entries({".hidden": KEY.encode()}) == KeyEntries()


def test_no_value_is_kept() -> None:
    assert KEY not in repr(key_entries({"app": KEY.encode(), "web": HASH.encode()}))


@pytest.mark.parametrize(("content", "kind"), ENTRIES.values(), ids=ENTRIES)
def test_the_server_accepts_exactly_the_usable_entries(content: str, kind: str, tmp_path: Path) -> None:
    volume = MountedVolume(tmp_path / "keys")
    volume.write(app=content, other=HASH)
    assert ("app" in read_digests(volume.directory)) is (kind == "usable")


@given(st.text(max_size=100))
@example("\u0660" * 64)
def test_every_entry_is_of_one_kind(content: str) -> None:
    found = key_entries({"app": content.encode()})
    assert found.usable + len(found.plain) + len(found.malformed) == 1
