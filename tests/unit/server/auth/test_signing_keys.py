"""Signing keys from a folder: what is taken, what is refused, and that nothing of a key is ever told."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.support.jwt_forgery import pem, public_pem, rsa_key, signing_folder
from tts_server.auth.signing_keys import generate_keys, read_signing_keys
from tts_server.config.files import BrokenFile

KEY = rsa_key("ours")


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


BROKEN: dict[str, Callable[[Path], object]] = {
    "no current": lambda folder: (folder / "current").unlink(),
    "current is empty": write("current", b""),
    "current names no key": write("current", b"k2\n"),
    "current is a path": write("current", b"../signing/k1\n"),
    "current is not UTF-8": write("current", b"\xff"),
    "no PEM": write("k2.pem", b"secret"),
    "an empty file": write("k2.pem", b""),
    "a large file": write("k2.pem", b"a" * 20_000),
    "a public key": write("k2.pem", public_pem(KEY)),
    "a short key": write("k2.pem", pem(rsa_key("short", 1024))),
    "a key with a password": write(
        "k2.pem", KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    ),
    "a key of another kind": write(
        "k2.pem",
        ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    ),
    "a strange name": write("k 2.pem", pem(KEY)),
    "a hidden name": write(".pem", pem(KEY)),
    "a folder": lambda folder: (folder / "k2.pem").mkdir(),
    "too many": lambda folder: [(folder / f"k{n}.pem").write_bytes(pem(KEY)) for n in range(9)],
}


@pytest.mark.parametrize("break_it", BROKEN.values(), ids=BROKEN)
def test_a_folder_that_cannot_be_used(tmp_path: Path, break_it: Callable[[Path], object]) -> None:
    folder = signing_folder(tmp_path / "signing", "k1", k1=KEY)
    break_it(folder)
    with pytest.raises(BrokenFile) as broken:
        read_signing_keys(folder)
    assert "secret" not in str(broken.value)
    assert "BEGIN" not in str(broken.value)


def test_pkcs1_is_as_good_as_pkcs8(tmp_path: Path) -> None:
    folder = signing_folder(tmp_path / "signing", "k1", k1=KEY)
    (folder / "k2.pem").write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    (folder / "README").write_text("ignored")
    keys = read_signing_keys(folder)
    assert (keys.current, sorted(keys.private)) == ("k1", ["k1", "k2"])


def test_the_key_set_holds_public_halves_only(tmp_path: Path) -> None:
    keys = read_signing_keys(signing_folder(tmp_path / "signing", "b", a=KEY, b=rsa_key("new")))
    assert [set(key) for key in keys.key_set["keys"]] == [{"kty", "use", "alg", "kid", "n", "e"}] * 2
    assert "private" not in repr(keys)
    assert generate_keys().current != generate_keys().current
