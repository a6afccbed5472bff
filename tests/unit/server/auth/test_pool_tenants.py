"""Tenants that share a member pool: what its file may say, and who a credential is."""

import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tts_server.auth.authenticate import Caller, Keyring, Share, authenticate
from tts_server.config.schema import AuthConfig, ServerConfig
from tts_server.errors import Unauthenticated

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "share-a-pool.md"
KEYRING = Keyring(
    {"app": hashlib.sha256(b"key").digest()},
    b"acme's",
    {name: hashlib.sha256(f"{name}'s".encode()).digest() for name in ("acme", "blue", "coral")},
)


def read(**changes: Any) -> ServerConfig:
    """As the file has it."""
    settings = {"tenant": "team-acme.acme", "role": "Member", "models": [{"name": "heavy"}]}
    return ServerConfig.model_validate_json(json.dumps(settings | changes))


def guest(name: str = "team-blue.blue", **changes: Any) -> dict[str, Any]:
    return {"name": name, "internalDirectory": "/etc/ttsfleet/tenants/blue"} | changes


def test_a_pool_has_its_own_tenant_alone_unless_it_is_told_otherwise() -> None:
    config = read()
    assert (config.tenants, config.weight_of("team-acme.acme"), config.weight_of("team-blue.blue")) == ((), 1.0, None)


def test_everybody_has_the_weight_that_stands_with_its_name() -> None:
    config = read(weight=2, tenants=[guest(), guest("team-coral.coral", weight=10)])
    weights = [config.weight_of(f"team-{name}.{name}") for name in ("acme", "blue", "coral", "delft")]
    assert weights == [2.0, 1.0, 10.0, None]
    assert config.tenants[0].internal_directory == Path("/etc/ttsfleet/tenants/blue")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # the story                     the file                                            what it says
    "an entry pool":                ({"role": "Entry", "tenants": [guest()]},           "only a pool of role Member"),
    "a name twice":                 ({"tenants": [guest(), guest()]},                   "tenants: team-blue.blue is"),
    "its own name":                 ({"tenants": [guest("team-acme.acme")]},            "tenants: team-acme.acme is"),
    "no weight":                    ({"tenants": [guest(weight=0)]},                    "tenants.0.weight"),
    "less than no weight":          ({"tenants": [guest(weight=-1)]},                   "tenants.0.weight"),
    "all the weight there is":      ({"tenants": [guest(weight=1e308)]},                "tenants.0.weight"),
    "infinite weight":              ({"tenants": [guest(weight=float("inf"))]},         "tenants.0.weight"),
    "a weight that is no number":   ({"tenants": [guest(weight=float("nan"))]},         "tenants.0.weight"),
    "no weight of its own":         ({"weight": 0},                                     "weight"),
    "a name without a namespace":   ({"tenants": [guest("blue")]},                      "tenants.0.name"),
    "a name that is a path":        ({"tenants": [guest("../blue.blue")]},              "tenants.0.name"),
    "no folder":                    ({"tenants": [{"name": "team-blue.blue"}]},         "tenants.0.internalDirectory"),
    "too many":                     ({"tenants": [guest(f"a.b{n}") for n in range(101)]}, "tenants"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_makes_no_sense_is_refused_by_the_fields_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(**changes)
    (error,) = caught.value.errors()
    assert said in f"{'.'.join(map(str, error['loc']))} {error['msg']}"


def test_the_page_shows_a_file_that_is_taken() -> None:
    *_, shown = re.findall(r"```json\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert [each.weight for each in ServerConfig.model_validate_json(shown).tenants] == [3.0, 10.0]


async def caller_of(credential: bytes | None, keyring: Keyring = KEYRING) -> Caller:
    async def verify(token: bytes) -> tuple[str, bool]:
        raise AssertionError(token)

    header = None if credential is None else b"Bearer " + credential
    return await authenticate(header, AuthConfig(), keyring, verify, member=True)


@pytest.mark.parametrize("tenant", ["acme", "blue", "coral"])
async def test_the_credential_says_which_tenant_asks(tenant: str) -> None:
    caller = await caller_of(f"{tenant}'s".encode())
    assert (caller.internal, caller.share) == (True, Share(tenant))


@pytest.mark.parametrize("credential", [None, b"", b"blue", b"blue's2", b"Blue's", b"blue's coral's", b"key"])
async def test_no_other_credential_opens_a_member(credential: bytes | None) -> None:
    with pytest.raises(Unauthenticated):
        await caller_of(credential)


async def test_its_digest_is_no_credential() -> None:
    digest = KEYRING.tenants["blue"]
    for presented in (digest, digest.hex().encode()):
        with pytest.raises(Unauthenticated):
            await caller_of(presented)


async def test_a_pool_without_credentials_opens_to_nobody() -> None:
    with pytest.raises(Unauthenticated):
        await caller_of(b"acme's", Keyring(token=b"acme's"))


async def test_each_credential_is_compared_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever fits, and in constant time: how long it takes tells nobody who else is served here."""
    compared: list[bytes] = []
    constant_time = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return constant_time(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for credential in (b"acme's", b"coral's"):
        compared.clear()
        await caller_of(credential)
        assert compared == list(KEYRING.tenants.values())


def test_a_keyring_shows_no_secret() -> None:
    assert "acme" not in repr(KEYRING)
