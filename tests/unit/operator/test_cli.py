"""The operator's flags."""

from ipaddress import ip_network

import pytest

from tts_operator.cli import parser, run_of
from tts_operator.settings import Settings

RUN = ["run", "--server-image", "registry.example/tts-server:1"]


def settings(*flags: str) -> Settings:
    return run_of(parser().parse_args([*RUN, *flags])).settings


def test_what_holds_for_every_tenant_comes_from_flags() -> None:
    plain = settings()
    assert (plain.playground, plain.tracing_endpoint, plain.tracing_ratio) == (False, "", 1.0)
    told = settings("--playground=true", "--tracing-endpoint=http://collector:4318", "--tracing-ratio=0.1")
    assert (told.playground, told.tracing_endpoint, told.tracing_ratio) == (True, "http://collector:4318", 0.1)


def test_networks_of_proxies_are_a_list() -> None:
    assert settings().trusted_proxies == ()
    told = settings("--trusted-proxies=10.4.0.0/16, fd00:4::/64").trusted_proxies
    assert told == (ip_network("10.4.0.0/16"), ip_network("fd00:4::/64"))


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("10.4.0.1/16", "has host bits set"),
        ("10.4.0.0/33", "does not appear to be"),
        ("proxy.example", "does not appear to be"),
        ("10.4.0.0/16,0.0.0.0/0", "not all addresses"),
        ("::/0", "not all addresses"),
    ],
)
def test_a_network_that_cannot_be_a_proxys_is_refused(
    said: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        settings(f"--trusted-proxies={said}")
    assert problem in capsys.readouterr().err


def test_a_switch_is_on_or_off(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_OPERATOR_PLAYGROUND", "true")
    assert settings().playground
    with pytest.raises(SystemExit):
        settings("--playground=perhaps")
    assert "must be true or false" in capsys.readouterr().err
