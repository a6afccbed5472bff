"""The operator's flags."""

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from tts_operator.cli.main import main, parser, run_of
from tts_operator.settings import Settings

RUN = ["run", "--server-image", "registry.example/tts-server:1"]


def settings(*flags: str) -> Settings:
    return run_of(parser().parse_args([*RUN, *flags])).settings


def test_what_holds_for_every_tenant_comes_from_flags() -> None:
    plain = settings()
    assert (plain.playground, plain.tracing_endpoint, plain.tracing_ratio) == (False, "", 1.0)
    told = settings("--playground=true", "--tracing-endpoint=http://collector:4318", "--tracing-ratio=0.1")
    assert (told.playground, told.tracing_endpoint, told.tracing_ratio) == (True, "http://collector:4318", 0.1)


def test_namespaces_are_a_list() -> None:
    assert run_of(parser().parse_args(RUN)).options.namespaces == ()
    watched = run_of(parser().parse_args([*RUN, "--watch-namespaces=team-a, team-b,"])).options.namespaces
    assert watched == ("team-a", "team-b")


def test_networks_of_proxies_are_a_list() -> None:
    assert settings().trusted_proxies == ()
    told = settings("--trusted-proxies=10.4.0.0/16, fd00:4::/64").trusted_proxies
    assert told == (ip_network("10.4.0.0/16"), ip_network("fd00:4::/64"))


def test_hosts_of_issuers_are_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert settings().issuer_hosts == ()
    assert settings("--issuer-hosts=login.example, id.example").issuer_hosts == ("login.example", "id.example")
    for bad in ("https://login.example", "*.example", "login.example:443", "ID.example"):
        with pytest.raises(SystemExit):
            settings(f"--issuer-hosts=id.example,{bad}")
        assert "--issuer-hosts: must be names of hosts in lower case, separated by commas" in capsys.readouterr().err


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


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--log-level=loud", "'loud' is none of debug, info, warning, error"),
        ("--image-pull-policy=Sometimes", "'Sometimes' is none of Always, IfNotPresent, Never"),
        ("--workers=0", "'0' is no whole number from 1 to 1000"),
        ("--workers=2.5", "'2.5' is no whole number from 1 to 1000"),
        ("--resync-seconds=0", "'0' is no number from 1 to 86400"),
        ("--lease-seconds=never", "'never' is no number from 1 to 3600"),
        ("--tracing-ratio=5", "'5' is no number from 0 to 1"),
        ("--tracing-ratio=nan", "'nan' is no number from 0 to 1"),
        ("--health-port=70000", "'70000' is no whole number from 0 to 65535"),
        ("--tracing-endpoint=collector:4318", "must be http[s]://host[:port]"),
        ("--tracing-endpoint=http://collector:99999", "must be http[s]://host[:port]"),
        ("--watch-namespaces=team-a team-b", "must be names of namespaces, separated by commas"),
        ("--server-image=", "must name an image"),
        ("--namespace=Speech", "must be a namespace's name"),
        ("--lease-name=the_lease", "must be a Lease's name"),
    ],
)
def test_a_flag_that_makes_no_sense_is_refused_by_name(
    flag: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*RUN, flag])
    assert left.value.code == 2
    assert f"argument {flag.split('=', maxsplit=1)[0]}: {problem}" in capsys.readouterr().err


def test_without_a_cluster_it_says_how_to_name_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    assert main([*RUN, "--metrics-port=0", "--health-port=0"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("tts-operator: no cluster configured: ")
    assert said.endswith("; set KUBECONFIG")


def test_help_says_what_is_required_and_what_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "for models that name no image (required)" in said
    assert "empty: all (default: empty)" in said


def test_the_chart_sets_every_flag_and_no_other() -> None:
    template = Path(__file__).parents[4] / "charts" / "ttsfleet" / "templates" / "deployment.yaml"
    with_values = set(re.findall(r"- (--[a-z0-9-]+)=", template.read_text(encoding="utf-8")))
    known = set(parser().parse_args(RUN).__dict__) - {"command"}
    assert with_values == {f"--{name.replace('_', '-')}" for name in known}
