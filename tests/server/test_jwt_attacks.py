"""Every forgery that the literature knows (RFC 8725 and the CVEs behind it), through the door that callers use.

None is let in, each is a 401 in the one shape, and none makes the server err.
"""

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given
from hypothesis import strategies as st

from tests.support.jwt_forgery import Forger, base64url, keys_folder, public_pem, rs256, rsa_key, signing_folder
from tests.support.server_app import RunningApp, config, running_app
from tts_server.auth.access_tokens import TokenAuthority
from tts_server.auth.failure_throttle import FailureThrottle
from tts_server.auth.jws import parse
from tts_server.auth.signing_keys import SigningKeys, public_jwk
from tts_server.config.schema import AuthConfig, AuthMode
from tts_server.errors import InvalidToken

OURS, THEIRS = rsa_key("ours"), rsa_key("theirs")
Attack = Callable[[Forger], str | bytes]


# One application for the whole table: it keeps nothing of a refused token but the count of failures.
one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acme(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApp]:
    tmp_path = tmp_path_factory.mktemp("acme")
    auth = AuthConfig(
        modes=(AuthMode.JWT,),
        keys_directory=keys_folder(tmp_path / "keys", app="secret-key"),
        signing_directory=signing_folder(tmp_path / "signing", "k1", k1=OURS),
    )
    async with running_app(config(tmp_path, auth=auth, tenant_uid="uid-acme")) as running:
        yield running


@pytest.fixture
def forger() -> Forger:
    return Forger(OURS)


def header(**fields: Any) -> Attack:
    return lambda forger: forger.token(header=fields)


def claims(**fields: Any) -> Attack:
    return lambda forger: forger.token(claims=fields)


def shifted(name: str, seconds: float) -> Attack:
    return lambda forger: forger.token(claims={name: int(forger.now + seconds)})


def unsigned(alg: Any) -> Attack:
    return lambda forger: forger.token(header={"alg": alg}, sign=lambda _: b"").rstrip(".") + "."


def hs(alg: str, algorithm: Callable[..., Any], secret: bytes) -> Attack:
    return lambda forger: forger.token(
        header={"alg": alg}, sign=lambda message: hmac.new(secret, message, algorithm).digest()
    )


def raw_header(text: str) -> Attack:
    return lambda forger: forger.raw(text, json.dumps(forger.claims))


def raw_claims(change: Callable[[str], str | bytes]) -> Attack:
    return lambda forger: forger.raw(json.dumps(forger.header), change(json.dumps(forger.claims)))


def spelled(change: Callable[[str], str | bytes]) -> Attack:
    """The good token, written otherwise."""
    return lambda forger: change(forger.token())


def segment(number: int, change: Callable[[str], str]) -> Attack:
    def attack(forger: Forger) -> str:
        parts = forger.token().split(".")
        parts[number] = change(parts[number])
        return ".".join(parts)

    return attack


def loosened(text: str) -> str:
    """Another last character that decodes to the same bytes where stray bits are forgiven."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


def swapped(name: str, value: str) -> Callable[[str], str]:
    """A claim's value as text that `json.dumps` would not write."""

    def change(text: str) -> str:
        fields = json.loads(text)
        return text.replace(f'"{name}": {json.dumps(fields[name])}', f'"{name}": {value}')

    return change


PUBLIC = public_pem(OURS)
JWK = public_jwk("k1", OURS.public_key())
THEIR_JWK = public_jwk("evil", THEIRS.public_key())

ATTACKS: dict[str, Attack] = {
    # no signature at all
    **{f"alg {alg!r}": unsigned(alg) for alg in ("none", "None", "NONE", "nOnE", "none ", "", None, "n\u043ene")},
    "alg missing": unsigned(...),
    "alg a number": unsigned(0),
    "alg a list": unsigned(["RS256"]),
    "alg none, signed all the same": header(alg="none"),
    "alg in lower case": header(alg="rs256"),
    "signature stripped, dot kept": spelled(lambda token: token.rpartition(".")[0] + "."),
    "signature stripped, dot and all": spelled(lambda token: token.rpartition(".")[0]),
    "signature of nothing": lambda forger: forger.token(sign=lambda _: b""),
    "signature of zeros": lambda forger: forger.token(sign=lambda _: bytes(256)),
    "signature cut": segment(2, lambda text: text[:-4]),
    "signature with a leading zero byte": lambda forger: forger.token(sign=lambda m: b"\0" + rs256(OURS)(m)),
    # the wrong algorithm, the right material
    "HS256 with the public PEM": hs("HS256", hashlib.sha256, PUBLIC),
    "HS256 with the public PEM, stripped": hs("HS256", hashlib.sha256, PUBLIC.strip()),
    "HS256 with the key set's n": hs("HS256", hashlib.sha256, JWK["n"].encode()),
    "HS256 with the JWK": hs("HS256", hashlib.sha256, json.dumps(JWK).encode()),
    "HS256 with an empty secret": hs("HS256", hashlib.sha256, b""),
    "HS256 with the tenant's name": hs("HS256", hashlib.sha256, b"team-acme.acme"),
    "HS512 with the public PEM": hs("HS512", hashlib.sha512, PUBLIC),
    "PS256 by our key": lambda forger: forger.token(
        {"alg": "PS256"}, sign=lambda m: OURS.sign(m, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    ),
    "PSS under the name RS256": lambda forger: forger.token(
        sign=lambda m: OURS.sign(m, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    ),
    "RS512 by our key": lambda forger: forger.token(
        {"alg": "RS512"}, sign=lambda m: OURS.sign(m, padding.PKCS1v15(), hashes.SHA512())
    ),
    "SHA-1 under the name RS256": lambda forger: forger.token(
        sign=lambda m: OURS.sign(m, padding.PKCS1v15(), hashes.SHA1())
    ),
    "ES256 with r = s = 0 (psychic signature)": lambda forger: forger.token({"alg": "ES256"}, sign=lambda _: bytes(64)),
    "RS256 by another key": lambda forger: forger.token(sign=rs256(THEIRS)),
    "RS256 by another key under its own kid": lambda forger: forger.token({"kid": "evil"}, sign=rs256(THEIRS)),
    # whose key
    "kid missing": header(kid=...),
    "kid empty": header(kid=""),
    "kid unknown": header(kid="k2"),
    "kid null": header(kid=None),
    "kid a number": header(kid=1),
    "kid a list": header(kid=["k1"]),
    "kid an object": header(kid={"k1": 1}),
    "kid with a path": header(kid="../signing/k1"),
    "kid the file": header(kid="k1.pem"),
    "kid /dev/null": lambda forger: forger.token(
        {"kid": "../../../../../../dev/null", "alg": "HS256"},
        sign=lambda m: hmac.new(b"", m, hashlib.sha256).digest(),
    ),
    "kid with a null byte": header(kid="k1\0"),
    "kid with a line end": header(kid="k1\n"),
    "kid with SQL": header(kid="k1' UNION SELECT 'secret"),
    "kid with a command": header(kid="k1|cat /etc/passwd"),
    "kid an address": header(kid="https://evil.test/key"),
    "kid very long": header(kid="k" * 5000),
    "kid in another case": header(kid="K1"),
    # keys and demands that a token brings along
    "jwk embedded": lambda forger: forger.token({"jwk": THEIR_JWK, "kid": "evil"}, sign=rs256(THEIRS)),
    "jwk embedded under our kid": lambda forger: forger.token({"jwk": THEIR_JWK}, sign=rs256(THEIRS)),
    "jwk embedded, our own": header(jwk=JWK),
    "jku": lambda forger: forger.token({"jku": "https://evil.test/jwks.json", "kid": "evil"}, sign=rs256(THEIRS)),
    "jku to a file": header(jku="file:///etc/passwd"),
    "x5u": header(x5u="https://evil.test/cert.pem"),
    "x5c": lambda forger: forger.token({"x5c": ["MIIB"]}, sign=rs256(THEIRS)),
    "crit unknown": header(crit=["exp"], exp=1),
    "crit empty": header(crit=[]),
    "crit of another type": header(crit="b64"),
    "b64 false": header(b64=False),
    "b64 false and critical": header(b64=False, crit=["b64"]),
    "b64 false, payload as it is": lambda forger: f"{base64url(b'{}')}.{json.dumps(forger.claims)}.x",
    "zip": header(zip="DEF"),
    "nested JWT": lambda forger: forger.raw(json.dumps(forger.header | {"cty": "JWT"}), forger.token()),
    "nested without saying so": lambda forger: forger.raw(json.dumps(forger.header), forger.token()),
    "typ of another kind": header(typ="JWT"),
    "typ of a logout token": header(typ="logout+jwt"),
    "typ missing": header(typ=...),
    "typ a number": header(typ=1),
    "JWE of five parts": lambda forger: f"{base64url(b'{}')}.a.b.c.d",
    "JWE of five parts with our header": spelled(lambda token: f"{token}.AAAA.AAAA"),
    "JWS in JSON": lambda forger: json.dumps(
        dict(zip(("protected", "payload", "signature"), forger.token().split("."), strict=True))
    ),
    # meant for somebody else
    "issuer: another tenant": claims(iss="ttsfleet:uid-other"),
    "issuer: our name, not our UID": claims(iss="ttsfleet:team-acme.acme"),
    "issuer in a list": claims(iss=["ttsfleet:uid-acme"]),
    "issuer with a slash": claims(iss="ttsfleet:uid-acme/"),
    "issuer null": claims(iss=None),
    "audience: another tenant": claims(aud="ttsfleet:team-other.other"),
    "audience: ours in a list": claims(aud=["ttsfleet:team-acme.acme", "x"]),
    "audience of everybody": claims(aud="*"),
    "audience an object": claims(aud={"ttsfleet:team-acme.acme": 1}),
    "tenant: another": claims(tenant="team-other.other"),
    "tenant a list": claims(tenant=["team-acme.acme"]),
    "subject: nobody's key": claims(sub="ghost"),
    "subject empty": claims(sub=""),
    "subject a number": claims(sub=1),
    "subject a list": claims(sub=["app"]),
    "subject very long": claims(sub="a" * 300),
    "jti a number": claims(jti=1),
    **{
        f"{name} missing": claims(**{name: ...}) for name in ("iss", "aud", "sub", "exp", "iat", "nbf", "jti", "tenant")
    },
    # at another time
    "expired": shifted("exp", -6),
    "expired long ago": claims(exp=1),
    "not yet valid": shifted("nbf", 60),
    "issued tomorrow": shifted("iat", 86_400),
    "exp a string": claims(exp="9999999999"),
    "exp true": claims(exp=True),
    "exp null": claims(exp=None),
    "exp a list": claims(exp=[9_999_999_999]),
    "exp negative": claims(exp=-1),
    "exp NaN": raw_claims(swapped("exp", "NaN")),
    "exp Infinity": raw_claims(swapped("exp", "Infinity")),
    "exp a float beyond floats": raw_claims(swapped("exp", "1e999")),
    "exp a huge float": raw_claims(swapped("exp", "1e300")),
    "exp of 5000 digits": raw_claims(swapped("exp", "9" * 5000)),
    "exp of 300 digits": raw_claims(swapped("exp", "9" * 300)),
    "nbf a string": claims(nbf="0"),
    "nbf false": claims(nbf=False),
    "iat an object": claims(iat={}),
    # two readers, two meanings
    "alg twice": raw_header('{"alg": "none", "alg": "RS256", "kid": "k1", "typ": "at+jwt"}'),
    "kid twice": raw_header('{"alg": "RS256", "kid": "evil", "kid": "k1", "typ": "at+jwt"}'),
    "kid twice, once escaped": raw_header('{"alg": "RS256", "\\u006bid": "evil", "kid": "k1", "typ": "at+jwt"}'),
    "claim twice": raw_claims(lambda text: text.replace("{", '{"sub": "admin", ', 1)),
    "claim twice, nested": raw_claims(lambda text: text.replace("{", '{"x": {"a": 1, "a": 2}, ', 1)),
    "JSON with a comment": raw_claims(lambda text: text + " // x"),
    "JSON twice": raw_claims(lambda text: text + text),
    "JSON with a byte order mark": raw_claims(lambda text: b"\xef\xbb\xbf" + text.encode()),
    "JSON in UTF-16": raw_claims(lambda text: text.encode("utf-16")),
    "JSON not UTF-8": raw_claims(lambda text: text.encode() + b"\xff"),
    "claims a list": raw_claims(lambda text: f"[{text}]"),
    "claims null": raw_claims(lambda text: "null"),
    "claims nested deeply": raw_claims(lambda text: text.replace("{", '{"x": ' + "[" * 2000 + "]" * 2000 + ", ", 1)),
    "claims nested a little too deeply": raw_claims(lambda t: t.replace("{", '{"x": ' + "[" * 9 + "]" * 9 + ", ", 1)),
    "header a list": raw_header('["RS256"]'),
    "header empty": raw_header("{}"),
    "header no JSON": raw_header("RS256"),
    # one signature, many spellings
    **{f"padding on part {n}": segment(n, lambda text: text + "=") for n in range(3)},
    **{f"a space in part {n}": segment(n, lambda text: text[:5] + " " + text[5:]) for n in range(3)},
    **{f"a line end in part {n}": segment(n, lambda text: text + "\n") for n in range(2)},
    "standard base64": lambda forger: ".".join(
        [*forger.token().split(".")[:2], base64.b64encode(b"\xfb\xff" * 128).decode().rstrip("=")]
    ),
    "stray bits in the signature": segment(2, loosened),
    "another character set": spelled(lambda token: token.replace("e", "\u0435", 1).encode()),
    "a trailing dot": spelled(lambda token: token + "."),
    "a leading dot": spelled(lambda token: "." + token),
    "empty parts": lambda forger: "..",
    "quoted": spelled(lambda token: f'"{token}"'),
    "two tokens": spelled(lambda token: f"{token}, {token}"),
    "null byte at the end": spelled(lambda token: token + "\0"),
    "oversized": claims(x="a" * 9000),
    "oversized header": header(kid="a" * 20_000),
    "garbage": lambda forger: b"\xff\xfe.\x00.\x80",
    "garbage of the right shape": lambda forger: "AAAA.AAAA.AAAA",
    "bytes that are numbers": lambda forger: f"{base64url(struct.pack('>d', 1.0))}.AAAA.AAAA",
}


@one_loop
async def test_the_token_that_every_attack_changes_is_good(acme: RunningApp, forger: Forger) -> None:
    reply = await acme.client.get("/v1/models", headers={"Authorization": f"Bearer {forger.token()}"})
    assert reply.status_code == 200


@one_loop
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_a_forgery_is_refused(acme: RunningApp, forger: Forger, attack: Attack) -> None:
    acme.application.server.identity.failures = FailureThrottle()  # each attack comes from an address without a past
    good = await acme.client.get("/v1/models", headers={"Authorization": f"Bearer {forger.token()}"})
    assert good.status_code == 200  # from now on the server remembers the token that the attack changes
    token = attack(forger)
    sent = token if isinstance(token, bytes) else token.encode()
    reply = await acme.client.get("/v1/models", headers={b"Authorization": b"Bearer " + sent})
    assert reply.status_code == 401
    error = reply.json()["error"]
    assert error["code"] in {"invalid_token", "invalid_api_key"}
    assert error["type"] == "authentication_error"
    assert reply.headers["www-authenticate"].startswith("Bearer")


@one_loop
async def test_five_seconds_of_another_clock_are_forgiven(acme: RunningApp) -> None:
    for seconds, status in ((-304, 200), (-306, 401), (3, 200), (10, 401)):
        acme.application.server.identity.failures = FailureThrottle()
        forger = Forger(OURS)
        forger.now += seconds
        reply = await acme.client.get("/v1/models", headers={"Authorization": f"Bearer {forger.token()}"})
        assert reply.status_code == status, seconds


def test_the_door_before_the_door_is_closed_too(forger: Forger) -> None:
    """Each check of a token stands alone: none relies on an earlier one."""
    keys = SigningKeys("k1", {"k1": OURS})
    authority = TokenAuthority("team-acme.acme", "uid-acme", keys)
    assert authority.verify(parse(forger.token().encode())) == "app"
    with pytest.raises(InvalidToken):
        authority.verify(parse(forger.token(claims={"iss": "ttsfleet:uid-other"}).encode()))
    for kid in ("k1\0", "k1\n", "k 1", "\u212a1", "", "k" * 129):
        with pytest.raises(InvalidToken):
            parse(forger.token(header={"kid": kid}).encode())


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_err(token: bytes) -> None:
    with pytest.raises(InvalidToken):
        parse(token)


@given(st.integers(0, 2000), st.integers(1, 255))
def test_no_changed_byte_leaves_a_token_good(place: int, change: int) -> None:
    token = bytearray(Forger(OURS, now=1_800_000_000).token().encode())
    token[place % len(token)] ^= change
    try:
        parsed = parse(bytes(token))
    except InvalidToken:
        return
    with pytest.raises(jwt.PyJWTError):
        jwt.PyJWS().decode(parsed.encoded, OURS.public_key(), ["RS256"])
