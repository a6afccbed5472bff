"""A TLS context is made once, and again when its file changes."""

import ssl
from pathlib import Path

import pytest

from hack.cluster.certificates import Authority
from tts_server.tls import TlsTrustStore


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def names(context: ssl.SSLContext) -> set[str]:
    return {str(certificate["subject"]) for certificate in context.get_ca_certs()}


def test_the_usual_certificates_are_read_once() -> None:
    trust = TlsTrustStore(None)
    assert trust.context() is trust.context()


def test_a_file_is_read_again_when_it_changes(tmp_path: Path, authority: Authority) -> None:
    file = tmp_path / "trusted.crt"
    trust = TlsTrustStore(file)
    public = trust.context()
    file.write_bytes(authority.pair.certificate.read_bytes())
    own = trust.context()
    assert own is not public
    assert len(names(own)) == 1
    assert trust.context() is own
    file.write_text("no certificate")
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            trust.context()
    file.unlink()
    assert trust.context() is not own
    assert names(trust.context()) == names(public)


def test_a_file_that_is_needed_is_not_replaced_by_the_usual_certificates(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TlsTrustStore(tmp_path / "none", needed=True).context()
