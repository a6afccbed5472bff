"""Secrets that anyone in the namespace may have edited: whatever cannot be decoded counts as absent."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.resources import UID
from tts_operator.credentials.api_keys import KeyEntries
from tts_operator.observe.secret_entries import (
    entry,
    stored_key_entries,
    stored_password,
    stored_signing_keys,
    stored_token,
)


def secret(data: Mapping[str, str], uid: str = UID, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    owner = {"uid": uid, "controller": True}
    return {"metadata": {"ownerReferences": [owner], "annotations": annotations or {}}, "data": data}


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


NOT_TEXT = base64.b64encode(b"\xff\xfe").decode()


@pytest.mark.parametrize("value", ["not base64!", NOT_TEXT])
def test_an_entry_that_is_no_text_is_absent(value: str) -> None:
    assert entry(secret({"token": value}), "token") is None


STORED: dict[str, tuple[Callable[..., str], dict[str, str], str]] = {
    "a token": (stored_token, {"token": encoded("a-token")}, "a-token"),
    "a password": (stored_password, {"url": encoded("redis://acme:pass@redis.svc")}, "pass"),
    "a token that is no text": (stored_token, {"token": NOT_TEXT}, ""),
    "an address that is none": (stored_password, {"url": encoded("http://redis.svc")}, ""),
}


@pytest.mark.parametrize(("read", "data", "expected"), STORED.values(), ids=STORED)
def test_a_credential_is_read_from_the_tenants_own_secret(
    read: Callable[..., str], data: dict[str, str], expected: str
) -> None:
    assert read(secret(data), UID) == expected


@pytest.mark.parametrize("read", [stored_token, stored_password], ids=["token", "password"])
def test_a_foreign_secret_gives_no_credential(read: Callable[..., str]) -> None:
    data = {"token": encoded("a-token"), "url": encoded("redis://acme:pass@redis.svc")}
    assert read(secret(data, "of-a-namesake"), UID) == ""
    assert read(None, UID) == ""


def test_signing_keys_that_are_no_ascii_are_left_out() -> None:
    found = stored_signing_keys(
        secret({"a.pem": encoded("KEY"), "b.pem": encoded("Schlüssel"), "c.pem": NOT_TEXT, "current": encoded("a")}),
        UID,
    )
    assert (dict(found.keys), found.current) == ({"a": "KEY"}, "a")


@pytest.mark.parametrize(
    ("noted", "expected"),
    [("2026-11-04T12:00:00+00:00", True), ("2026-11-04T12:00:00", False), ("noon", False), ("", False)],
)
def test_an_instant_without_a_zone_is_none(noted: str, expected: bool) -> None:
    found = stored_signing_keys(secret({}, annotations={"ttsfleet.io/signing-since": noted}), UID)
    assert (found.since is not None) is expected


def test_of_a_secret_with_api_keys_only_names_are_kept() -> None:
    found = stored_key_entries(secret({"app": encoded("a" * 64), "web": encoded("tts_secret"), "old": NOT_TEXT}))
    assert found == KeyEntries(1, plain=("web",), malformed=("old",))
    assert stored_key_entries({"metadata": {}}) == KeyEntries()
