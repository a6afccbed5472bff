"""Names of API keys are shown, unless somebody used a key as a name."""

from __future__ import annotations

import base64
import secrets
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.config.api_keys import may_be_a_key, shown_name

NAMES = [
    "app", "mobile", "key-1a2b3c4d", "web.frontend-2", "production2026", "mobile-application-production-2026",
    "internationalization", "MobileApplicationProduction", "MOBILEAPPLICATIONS", "team_acme_backend", "2026-11-04",
    "ci-runner-eu-west-1a", "a", "backend-7f9c", "callcenter24x7",
]  # fmt: skip
KEYS = [
    "tts_1", "sk-proj-abcdefghijklmnop", "sk_live_51H8", "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "AKIAIOSFODNN7EXAMPLE",
    "00112233445566778899aabbccddeeff", "550e8400-e29b-41d4-a716-446655440000", "4111111111111111",
    "eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG", "x7Kp2mQ9vL4nR8sT1wYz", "JBSWY3DPEHPK3PXPJBSWY3DP",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_people_give_is_shown(name: str) -> None:
    assert shown_name(name, 1) == name


@pytest.mark.parametrize("name", [*KEYS, "a b", "a" * 64, "пароль", "key\nforged line"])
def test_a_name_that_may_be_a_key_or_is_no_name_is_counted(name: str) -> None:
    assert shown_name(name, 3) == f"number 3 (its name of {len(name)} characters may be a key, and is not shown)"


@given(st.binary(min_size=20, max_size=32))
def test_random_bytes_in_any_notation_are_taken_for_a_key(content: bytes) -> None:
    if len(set(content)) > 12:
        assert may_be_a_key(content.hex())
        assert may_be_a_key(str(uuid.UUID(bytes=content[:16])))


def test_keys_of_the_usual_generators_are_not_shown() -> None:
    """A few of ten thousand have so many dashes that no long word is left."""
    made = [secrets.token_urlsafe(32) for _ in range(2000)] + [
        base64.b64encode(secrets.token_bytes(24)).decode().replace("+", "").replace("/", "") for _ in range(2000)
    ]
    assert sum(not may_be_a_key(each) for each in made) <= 20
