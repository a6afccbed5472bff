"""Tokens of another issuer, whose keys come over real TLS: when they are fetched, what is believed, who waits."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    EllipticCurve,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import ValidationError

from tests.support.jwt_forgery import Forger, keys_folder, rs256, rsa_key, signing_folder
from tests.support.server_app import RunningApp, config, running_app, until
from tests.support.token_issuer import Issuer, issuing
from tts_server.auth import jwks as key_set
from tts_server.auth.external_issuer import read_key_set
from tts_server.auth.failure_throttle import FailureThrottle
from tts_server.auth.jwks import FetchFailed, KeySet, fetch_document
from tts_server.auth.signing_keys import public_jwk
from tts_server.config.schema import AuthConfig, AuthMode, ExternalIssuer
from tts_server.errors import TokensUnavailable

KEY, NEW_KEY = rsa_key("theirs"), rsa_key("theirs, new")
ISSUER, AUDIENCE = "https://login.example", "speech"


class Elsewhere(Forger):
    """Writes what the external issuer writes."""

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": "RS256", "kid": "x1", "typ": "JWT"}

    @property
    def claims(self) -> dict[str, Any]:
        return {"iss": ISSUER, "aud": ["other", AUDIENCE], "sub": "ada@example", "exp": self.now + 300.5}


@asynccontextmanager
async def trusting(folder: Path, issuer: Issuer) -> AsyncIterator[RunningApp]:
    auth = AuthConfig(
        modes=(AuthMode.JWT,),
        keys_directory=keys_folder(folder / "keys", app="key"),
        signing_directory=signing_folder(folder / "signing", "k1", k1=rsa_key("ours")),
        external=ExternalIssuer(jwks_url=issuer.url, issuer=ISSUER, audience=AUDIENCE, ca_file=issuer.ca_file),
    )
    async with running_app(config(folder, auth=auth, tenant_uid="uid-acme")) as running:
        yield running


async def opens(acme: RunningApp, token: str) -> int:
    acme.application.server.identity.failures = FailureThrottle()
    return (await acme.client.get("/v1/models", headers={"Authorization": f"Bearer {token}"})).status_code


def ec_pair(curve: EllipticCurve) -> tuple[dict[str, Any], Any]:
    """A JWK, and what signs by its private half."""
    key = generate_private_key(curve)
    size = (key.key_size + 7) // 8

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, ECDSA(hashes.SHA256())))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "ec1"}, sign


async def test_tokens_of_another_issuer_open_the_door(tmp_path: Path) -> None:
    ec_jwk, ec_sign = ec_pair(SECP256R1())
    async with (
        issuing(tmp_path, public_jwk("x1", KEY.public_key()), ec_jwk) as issuer,
        trusting(tmp_path, issuer) as acme,
    ):
        theirs = Elsewhere(KEY)
        assert await opens(acme, theirs.token()) == 200
        assert await opens(acme, theirs.token({"alg": "ES256", "kid": "ec1"}, sign=ec_sign)) == 200
        assert await opens(acme, Forger(rsa_key("ours")).token()) == 200
        for signature in (bytes(64), b"", bytes(63), b"\xff" * 64, bytes(63) + b"\x01"):
            forged = theirs.token({"alg": "ES256", "kid": "ec1"}, sign=lambda _, s=signature: s)  # type: ignore[misc]
            assert await opens(acme, forged) == 401
        assert issuer.asked == 1


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another issuer": ({}, {"iss": "https://evil.example"}),
    "another audience": ({}, {"aud": "other"}),
    "audiences without ours": ({}, {"aud": ["other"]}),
    "audiences of other types": ({}, {"aud": [AUDIENCE, 1]}),
    "no audience": ({}, {"aud": ...}),
    "no expiry": ({}, {"exp": ...}),
    "expired": ({}, {"exp": 1.5}),
    "not yet": ({}, {"nbf": 32_503_680_000}),
    "no subject": ({}, {"sub": ...}),
    "our tenant's claims": ({}, {"iss": "ttsfleet:uid-acme"}),
    "our tenant's claims and type": ({"typ": "at+jwt", "kid": "k1"}, {"iss": "ttsfleet:uid-acme"}),
    "another kind of JWT": ({"typ": "logout+jwt"}, {}),
    "the other algorithm of the issuer": ({"alg": "ES256"}, {}),
    "the key of another algorithm": ({"kid": "ec1"}, {}),
    "HS256": ({"alg": "HS256"}, {}),
    "none": ({"alg": "none"}, {}),
}


@pytest.mark.parametrize(("header", "claims"), REFUSED.values(), ids=REFUSED)
async def test_what_the_issuer_did_not_mean_for_us_is_refused(
    tmp_path: Path, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    ec_jwk, _ = ec_pair(SECP256R1())
    async with (
        issuing(tmp_path, public_jwk("x1", KEY.public_key()), ec_jwk) as issuer,
        trusting(tmp_path, issuer) as acme,
    ):
        assert await opens(acme, Elsewhere(KEY).token(header, claims)) == 401
        assert await opens(acme, Elsewhere(KEY).token()) == 200


async def test_our_own_key_signs_nothing_of_the_issuers_and_theirs_nothing_of_ours(tmp_path: Path) -> None:
    jwks = public_jwk("x1", KEY.public_key()), public_jwk("k1", KEY.public_key())
    async with issuing(tmp_path, *jwks) as issuer, trusting(tmp_path, issuer) as acme:
        assert await opens(acme, Elsewhere(rsa_key("ours")).token({"kid": "k1"})) == 401
        assert await opens(acme, Forger(rsa_key("ours")).token(sign=rs256(KEY))) == 401


async def test_our_own_tokens_never_wait_for_the_issuer(tmp_path: Path) -> None:
    async with issuing(tmp_path, public_jwk("x1", KEY.public_key())) as issuer:
        issuer.gate.clear()
        async with trusting(tmp_path, issuer) as acme:
            await until(lambda: issuer.asked)
            assert await opens(acme, Forger(rsa_key("ours")).token()) == 200
            waiting = [asyncio.create_task(opens(acme, Elsewhere(KEY).token())) for _ in range(10)]
            await asyncio.sleep(0)
            assert await opens(acme, Forger(rsa_key("ours")).token()) == 200
            issuer.gate.set()
            assert await asyncio.gather(*waiting) == [200] * 10
            assert issuer.asked == 1


async def test_an_issuer_that_is_away_is_said_to_be_and_costs_our_own_nothing(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer:
        issuer.status = "500 Oops"
        async with trusting(tmp_path, issuer) as acme:
            assert await opens(acme, Elsewhere(KEY).token()) == 503
            assert await opens(acme, Forger(rsa_key("ours")).token()) == 200


async def test_the_subject_is_the_client_and_reaches_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with issuing(tmp_path, public_jwk("x1", KEY.public_key())) as issuer, trusting(tmp_path, issuer) as acme:
        assert await opens(acme, Elsewhere(KEY).token()) == 200
        assert "ada@example" not in capsys.readouterr().out


BAD_ANSWERS: dict[str, dict[str, Any]] = {
    "a redirect": {"status": "302 Found", "headers": "location: https://127.0.0.1/jwks.json\r\n"},
    "a redirect that holds keys": {"status": "307 Temporary Redirect"},
    "an error": {"status": "503 Unavailable"},
    "no JSON": {"body": b"<html>"},
    "too much": {"body": b'{"keys": [], "x": "' + b"a" * 70_000 + b'"}'},
    "nested deeply": {"body": b"[" * 60_000},
    "not UTF-8": {"body": b'{"keys": ["\xff"]}'},
    "compressed": {"headers": "content-encoding: gzip\r\n", "body": b"\x1f\x8b"},
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_bad_answers_are_no_key_sets(tmp_path: Path, answer: dict[str, Any]) -> None:
    async with issuing(tmp_path) as issuer:
        for name, value in answer.items():
            setattr(issuer, name, value)
        with pytest.raises(FetchFailed):
            await fetch_document(issuer.url, issuer.ca_file)
        assert issuer.asked == 1


async def test_a_redirect_is_not_followed_even_to_the_same_host(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer:
        issuer.status, issuer.headers = "307 Temporary Redirect", f"location: {issuer.url}?again\r\n"
        with pytest.raises(FetchFailed):
            await fetch_document(issuer.url, issuer.ca_file)
        assert issuer.asked == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer:
        with pytest.raises(FetchFailed):
            await fetch_document(issuer.url, None)
        with pytest.raises(FetchFailed):  # the right certificate, another host
            await fetch_document(issuer.url.replace("127.0.0.1", "localhost"), issuer.ca_file)
        with pytest.raises(FetchFailed):
            await fetch_document(issuer.url, tmp_path / "missing.crt")
        assert issuer.asked == 0


async def test_an_issuer_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_set.FETCH_SECONDS == 5
    monkeypatch.setattr(key_set, "FETCH_SECONDS", 0.2)
    async with issuing(tmp_path) as issuer:
        issuer.gate.clear()
        begun = time.monotonic()
        with pytest.raises(FetchFailed):
            await fetch_document(issuer.url, issuer.ca_file)
        assert time.monotonic() - begun < 4


@pytest.mark.parametrize("url", ["http://login.example/k", "https://u:p@login.example/k", "file:///k", "https://h/#f"])
def test_only_a_plain_https_address_is_an_issuers(url: str) -> None:
    with pytest.raises(ValidationError):
        ExternalIssuer(jwks_url=url, issuer="i", audience="a")


GOOD_JWK = public_jwk("x1", KEY.public_key())
LEFT_OUT: dict[str, Any] = {
    "symmetric": {"kty": "oct", "kid": "x1", "k": "AAAA"},
    "private": RSAAlgorithm.to_jwk(KEY, as_dict=True) | {"kid": "x1"},
    "for encryption": GOOD_JWK | {"use": "enc"},
    "of another algorithm": GOOD_JWK | {"alg": "RS512"},
    "short": public_jwk("x1", rsa_key("short", 1024).public_key()),
    "of another curve": ec_pair(SECP384R1())[0],
    "off the curve": ec_pair(SECP256R1())[0] | {"x": "A" * 43},
    "without a kid": {name: value for name, value in GOOD_JWK.items() if name != "kid"},
    "with a number as kid": GOOD_JWK | {"kid": 1},
    "without a modulus": {"kty": "RSA", "kid": "x1", "e": "AQAB"},
    "with a number as modulus": GOOD_JWK | {"n": 7},
    "with an even modulus": GOOD_JWK | {"n": GOOD_JWK["n"][:-1] + "A"},
    "with a huge exponent": GOOD_JWK | {"e": GOOD_JWK["n"]},
    "no object": "x1",
}


@pytest.mark.parametrize("jwk", LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_key_that_cannot_be_used_is_left_out(jwk: Any) -> None:
    assert set(read_key_set({"keys": [jwk, GOOD_JWK | {"kid": "good"}]})) == {"good"}


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}, {"keys": {}}, "keys"])
def test_what_is_no_key_set_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="key set"):
        read_key_set(json.loads(json.dumps(document)))


class Source:
    """Keys, a clock, and how often it was asked."""

    def __init__(self, **keys: str) -> None:
        self.keys: dict[str, str] | None = dict(keys)
        self.now = 0.0
        self.asked = 0

    async def fetch(self) -> dict[str, str]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.keys is None:
            raise FetchFailed("away")
        return dict(self.keys)

    def set(self) -> KeySet[str]:
        return KeySet(self.fetch, lambda: self.now)


async def test_unknown_kids_ask_once_a_minute_all_together() -> None:
    source = Source(a="A")
    keys = source.set()
    assert await keys.find("a") == "A"
    source.keys = {"a": "A", "b": "B"}
    assert await asyncio.gather(*(keys.find("b") for _ in range(50))) == [None] * 50
    assert source.asked == 1
    source.now = 60
    assert await asyncio.gather(*(keys.find("b") for _ in range(50))) == ["B"] * 50
    assert await keys.find("c") is None
    assert source.asked == 2


async def test_known_keys_are_found_without_waiting_and_renewed_in_passing() -> None:
    source = Source(a="A")
    keys = source.set()
    await keys.find("a")
    source.now, source.keys = 700, {"b": "B"}
    assert await keys.find("a") == "A"
    await until(lambda: keys._keys == {"b": "B"})
    assert await keys.find("a") is None


async def test_the_last_keys_serve_an_outage_of_an_hour() -> None:
    source = Source(a="A")
    keys = source.set()
    await keys.find("a")
    source.keys = None
    for minute in range(60):
        source.now = minute * 60
        assert await keys.find("a") == "A"
        await until(lambda: keys._fetching is None or keys._fetching.done())
    source.now = 3601
    with pytest.raises(TokensUnavailable):
        await keys.find("a")
    source.now, source.keys = 3700, {"a": "A"}
    assert await keys.find("a") == "A"


async def test_who_hangs_up_does_not_stop_the_fetch_for_others() -> None:
    source = Source(a="A")
    keys = source.set()
    one, other = asyncio.create_task(keys.find("a")), asyncio.create_task(keys.find("a"))
    await asyncio.sleep(0)
    one.cancel()
    assert await other == "A"
    assert source.asked == 1
