"""The operator's flags."""

import json
import re
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from tts_operator.api.tenant import Tier
from tts_operator.cli.flags import FlagError
from tts_operator.cli.main import main, parser, run_flags, run_of, settings_of, waker_flags
from tts_operator.rollout.situation import Limits
from tts_operator.settings import DefaultCeilings, ProcessSettings, Settings, Tiers

ROOT = Path(__file__).parents[4]
SENTENCE = re.compile(r"(?!(Of|What|Who|Whose|Whom|None|Until|Where|See|Nobody|The same)\b)[A-Z].*\.")
"""A sentence or a noun phrase, as docstrings of this project are."""
RUN = ["run", "--server-image", "registry.example/tts-server:1"]


def settings(*flags: str) -> Settings:
    return settings_of(parser().parse_args([*RUN, *flags]))[0]


def process(*flags: str) -> ProcessSettings:
    return settings_of(parser().parse_args([*RUN, *flags]))[1]


def test_what_holds_for_every_tenant_comes_from_flags() -> None:
    plain = settings()
    assert (plain.playground, plain.docs, plain.tracing_endpoint, plain.tracing_ratio) == (False, False, "", 1.0)
    changed = settings(
        "--playground=true", "--docs=true", "--tracing-endpoint=http://collector:4318", "--tracing-ratio=0.1"
    )
    assert (changed.playground, changed.docs, changed.tracing_endpoint, changed.tracing_ratio) == (
        True,
        True,
        "http://collector:4318",
        0.1,
    )


def test_namespaces_are_a_list() -> None:
    assert process().watch_namespaces == ()
    assert process("--watch-namespaces=team-a, team-b,").watch_namespaces == ("team-a", "team-b")


def test_networks_of_proxies_are_a_list() -> None:
    assert settings().trusted_proxies == ()
    changed = settings("--trusted-proxies=10.4.0.0/16, fd00:4::/64").trusted_proxies
    assert changed == (ip_network("10.4.0.0/16"), ip_network("fd00:4::/64"))


def test_limits_of_rollouts_are_those_of_the_flags() -> None:
    chosen = run_of(settings(), process("--rollout-concurrent-tenants=7", "--rollout-failure-namespaces=3"))
    assert chosen.options.rollout == Limits(concurrent_tenants=7, failure_namespaces=3)
    assert run_of(settings(), process()).options.rollout == Limits()


def test_a_release_is_named_by_its_lease() -> None:
    """By that name it owns its entries in statuses, and the tenants that it claimed."""
    chosen = run_of(settings("--namespace=fleet"), process("--lease-name=second"))
    assert (chosen.options.release, chosen.lease_name) == ("fleet/second", "second")


def test_hosts_that_tenants_may_name_are_a_list() -> None:
    assert settings().allowed_hosts == ()
    listed = settings("--allowed-hosts=Login.example., *.stores.svc,*, 10.9.0.0/16, fd00:9::0/64, 10.0.0.1")
    assert listed.allowed_hosts == ("login.example", "*.stores.svc", "*", "10.9.0.0/16", "fd00:9::/64", "10.0.0.1")
    bad = [
        "https://a.example",
        "a.example:443",
        "*a.example",
        "a.*.example",
        "10.9.1.0/16",
        "0.0.0.0/0",
        "::/0",
        "127.1",
    ]
    for each in (*bad, "169.254.0.0/16", "127.0.0.0/24"):
        with pytest.raises(FlagError, match=r"--allowed-hosts: must be names, names with \*\. before them, addresses"):
            settings(f"--allowed-hosts=id.example,{each}")


def test_networks_of_the_cluster_are_the_private_ones_unless_told_otherwise() -> None:
    assert ip_network("10.0.0.0/8") in settings().internal_networks
    assert settings("--internal-networks=10.4.0.0/16").internal_networks == (ip_network("10.4.0.0/16"),)
    with pytest.raises(FlagError, match="--internal-networks: must be networks"):
        settings("--internal-networks=0.0.0.0/0")


def test_the_api_server_is_where_its_pods_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert settings().api_server_hosts == ("10.96.0.1",)
    assert settings("--api-server-hosts=10.96.0.1,api.example").api_server_hosts == ("10.96.0.1", "api.example")


def test_scrapers_are_peers_of_a_network_policy() -> None:
    assert settings().metrics_from == settings("--metrics-from=[]").metrics_from == ()
    peers = '[{"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {}}]'
    assert settings(f"--metrics-from={peers}").metrics_from == tuple(json.loads(peers))
    for bad in ("monitoring", "[{}]", '["monitoring"]', '{"podSelector": {}}', '[{"matchLabels": {}}]', "7"):
        with pytest.raises(FlagError, match="--metrics-from: must be a JSON list of peers of a NetworkPolicy"):
            settings(f"--metrics-from={bad}")


def test_limits_of_tiers_are_a_number_for_each() -> None:
    assert settings().tiers == Tiers()
    changed = settings("--tiers-concurrent-requests=VIP=7, Basic=1,Enterprise=9").tiers
    assert changed == Tiers(concurrent_requests={"Basic": 1, "VIP": 7, "Enterprise": 9})
    assert settings("--ceilings-max-tier=VIP", "--ceilings-max-accelerators=0").ceilings == DefaultCeilings(
        max_tier=Tier.VIP, max_accelerators=0
    )


@pytest.mark.parametrize(
    "text",
    ["", "10", "Basic=1,VIP=2", "Basic=1,VIP=2,Gold=3", "Basic=1,VIP=2,Enterprise=3,VIP=4", "Basic=1,VIP=2,Enterprise="]
    + [f"Basic={number},VIP=1,Enterprise=1" for number in ("0", "-1", "1.5", "many", "1000000001")],
)
def test_limits_of_tiers_that_say_too_little_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(FlagError) as refusal:
        settings(f"--tiers-requests-per-minute={text}")
    assert refusal.value.problems == (
        "argument --tiers-requests-per-minute: must give each tier a number from 1 to 1000000000, as"
        " Basic=10,VIP=100,Enterprise=1000",
    )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("10.4.0.1/16", "has host bits set"),
        ("10.4.0.0/33", "does not appear to be"),
        ("proxy.example", "does not appear to be"),
        ("10.4.0.0/16,0.0.0.0/0", "not all addresses"),
        ("::/0", "not all addresses"),
    ],
)
def test_a_network_that_cannot_be_a_proxys_is_refused(given: str, problem: str) -> None:
    with pytest.raises(FlagError, match=f"argument --trusted-proxies: .*{problem}"):
        settings(f"--trusted-proxies={given}")


def test_a_switch_is_on_or_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_OPERATOR_PLAYGROUND", "true")
    assert settings().playground
    assert not settings("--playground=false").playground
    for text in ("perhaps", "yes", "1", "True", ""):
        with pytest.raises(FlagError, match=r"argument --playground: must be true or false$"):
            settings(f"--playground={text}")


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--log-level=loud", "must be one of debug, info, warning, error, not 'loud'"),
        ("--image-pull-policy=Sometimes", "must be one of Always, IfNotPresent, Never, not 'Sometimes'"),
        ("--workers=0", "must be a whole number from 1 to 1000, not '0'"),
        ("--workers=2.5", "must be a whole number from 1 to 1000, not '2.5'"),
        ("--resync-seconds=0", "must be a number from 1 to 86400, not '0'"),
        ("--lease-seconds=never", "must be a number from 1 to 3600, not 'never'"),
        ("--tracing-ratio=5", "must be a number from 0 to 1, not '5'"),
        ("--tracing-ratio=nan", "must be a number from 0 to 1, not 'nan'"),
        ("--health-port=70000", "must be a whole number from 0 to 65535, not '70000'"),
        ("--tracing-endpoint=collector:4318", "must be http[s]://host[:port]"),
        ("--tracing-endpoint=http://collector:99999", "must be http[s]://host[:port]"),
        ("--watch-namespaces=team-a team-b", "must be names of namespaces, separated by commas"),
        ("--server-image=", "must name an image"),
        ("--namespace=Speech", "must be the name of a namespace"),
        ("--lease-name=the_lease", "must be the name of a Lease"),
    ],
)
def test_a_flag_that_makes_no_sense_is_refused_by_name(
    flag: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, flag]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tts-operator: argument {flag.split('=', maxsplit=1)[0]}: {problem}")


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
    output = " ".join(capsys.readouterr().out.split())
    assert "Image of tts-server for models that name none. (required)" in output
    assert "Bucket for audio; it must exist. (required with --s3-endpoint)" in output
    assert "whose tenants the operator reconciles. Default: all namespaces." in output
    assert "TTS_OPERATOR_LEASE_NAME sets --lease-name" in output


def test_the_chart_sets_every_flag_and_no_other() -> None:
    template = ROOT / "charts" / "ttsfleet" / "templates" / "deployment.yaml"
    with_values = set(re.findall(r'- (?:\{\{ printf ")?(--[a-z0-9-]+)=', template.read_text(encoding="utf-8")))
    assert with_values == {flag.name for flag in run_flags()}


def test_the_chart_sets_flags_of_the_waker_that_exist() -> None:
    template = ROOT / "charts" / "ttsfleet" / "templates" / "waker.yaml"
    with_values = set(re.findall(r"- (--[a-z0-9-]+)=", template.read_text(encoding="utf-8")))
    assert with_values <= {flag.name for flag in waker_flags()}
    assert {"--first-port", "--ports", "--release", "--watch-namespaces"} <= with_values


def test_every_flag_is_documented_by_a_sentence_and_listed_in_the_reference() -> None:
    reference = (ROOT / "docs" / "reference" / "tts-operator.md").read_text(encoding="utf-8")
    for flag in (*run_flags(), *waker_flags()):
        assert SENTENCE.fullmatch(flag.help), f"{flag.name}: {flag.help}"
        assert f"| `{flag.name}` | `{flag.variables[0]}`" in reference
    assert reference.count("| `--") == len(run_flags()) + len(waker_flags())


def test_a_wrong_flag_the_help_and_the_crds_do_not_wait_for_the_kubernetes_client() -> None:
    script = "import sys; from tts_operator.cli.main import main; main(['crds']); main(['run', '--workers=0']);"
    heavy = "sys.exit(bool(sys.modules.keys() & {'kubernetes', 'kopf', 'aiohttp', 'redis', 'structlog'}))"
    run = subprocess.run([sys.executable, "-c", script + heavy], check=False, capture_output=True)
    assert run.returncode == 0


QUOTED = {
    "--ceilings-max-tier",
    "--exposure-proxies",
    "--exposure-scheme",
    "--image-pull-policy",
    "--log-level",
    "--trusted-proxies",
}
"""Flags of words and networks, whose values an error repeats, as it does for numbers."""


@pytest.mark.parametrize("name", sorted({flag.name for flag in run_flags()} - QUOTED))
def test_an_error_does_not_repeat_a_value_that_may_hold_a_password(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (flag,) = (flag for flag in run_flags() if flag.name == name)
    stores = ["--redis-url=redis://h", "--s3-endpoint=http://h", "--s3-bucket=abc", f"--s3-directory={tmp_path}"]
    status = main([*RUN, *stores, "--workers=0", f"{name}=http://user:s3cret@host/ "])
    assert status == 2
    if flag.schema.get("type") not in {"integer", "number"}:
        assert "s3cret" not in capsys.readouterr().err
