"""The operator's flags."""

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


def test_a_switch_is_on_or_off(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_OPERATOR_PLAYGROUND", "true")
    assert settings().playground
    with pytest.raises(SystemExit):
        settings("--playground=perhaps")
    assert "must be true or false" in capsys.readouterr().err
