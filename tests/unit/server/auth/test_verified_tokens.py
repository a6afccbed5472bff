"""Verified tokens: which are remembered, for how long, and that nothing of them is kept."""

import asyncio

import pytest

from tests.support.jwt_forgery import Forger, rsa_key
from tts_server.auth.access_tokens import TokenAuthority
from tts_server.auth.identity import Identity
from tts_server.auth.jws import Unverified, parse
from tts_server.auth.signing_keys import SigningKeys
from tts_server.auth.verified_tokens import MOST_TOKENS, VerifiedTokens
from tts_server.errors import InvalidToken, TokenExpired

OURS, NEW = rsa_key("ours"), rsa_key("new")
BEGINS, EXPIRES = 1_800_000_000, 1_800_000_300


class Clock:
    def __init__(self) -> None:
        self.now = float(BEGINS)

    def __call__(self) -> float:
        return self.now


def token(number: int = 0, **times: float) -> Unverified:
    claims = {"iat": BEGINS, "nbf": BEGINS, "exp": EXPIRES, **times}
    return Unverified(f"a.b.{number}".encode(), "RS256", "k1", "at+jwt", claims)


def authority(**keys: object) -> TokenAuthority:
    return TokenAuthority("team-acme.acme", "uid-acme", SigningKeys("k1", keys))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("now", "valid"),
    [
        (BEGINS - 5.1, False),  # the clock was set back
        (BEGINS - 5, True),
        (EXPIRES + 4.9, True),
        (EXPIRES + 5, False),
    ],
)
def test_a_token_is_known_as_long_as_it_is_valid(now: float, valid: bool) -> None:
    clock = Clock()
    tokens = VerifiedTokens(clock)
    tokens.remember(token(), "app")
    clock.now = now
    assert tokens.subject(b"a.b.0") == ("app" if valid else None)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_the_later_beginning_counts(name: str) -> None:
    tokens = VerifiedTokens(Clock())
    tokens.remember(token(**{name: BEGINS + 60}), "app")
    assert tokens.subject(b"a.b.0") is None


def test_other_bytes_are_another_token() -> None:
    tokens = VerifiedTokens(Clock())
    tokens.remember(token(), "app")
    assert [tokens.subject(other) for other in (b"a.b.", b"a.b.00", b"A.b.0", b"a.b.0=")] == [None] * 4


def test_the_oldest_is_forgotten_first() -> None:
    tokens = VerifiedTokens(Clock())
    for number in range(MOST_TOKENS + 2):
        tokens.remember(token(number), f"app-{number}")
    assert len(tokens) == MOST_TOKENS
    assert [tokens.subject(f"a.b.{number}".encode()) for number in (0, 1, 2)] == [None, None, "app-2"]


def test_no_token_is_kept() -> None:
    tokens = VerifiedTokens(Clock())
    tokens.remember(token(), "app")
    assert "a.b.0" not in repr(vars(tokens))


def test_only_a_verified_token_is_remembered() -> None:
    ours, theirs = authority(k1=OURS), Forger(NEW)
    for bad, error in ((theirs.token(), InvalidToken), (Forger(OURS).token(claims={"exp": 1}), TokenExpired)):
        with pytest.raises(error):
            ours.verify(parse(bad.encode()))
    assert len(ours.verified) == 0


def test_new_keys_forget_what_the_old_ones_verified() -> None:
    credential = Forger(OURS).token().encode()
    identity = Identity()
    identity.authority = authority(k1=OURS)
    for _ in range(2):
        assert asyncio.run(identity.verify(credential)) == ("app", True)
    assert len(identity.authority.verified) == 1
    identity.authority = authority(k1=NEW)
    with pytest.raises(InvalidToken):
        asyncio.run(identity.verify(credential))
