"""The kubectl plugin, as a person runs it: arguments in, output and exit status out."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.tenant_files import PROBLEMS, SPAN, TENANT, WITHOUT_VALUES
from tts_operator.calendar.bounds import Change
from tts_operator.calendar.calendar import changes
from tts_operator.cli import schedule_command
from tts_operator.cli.kubectl_tts import main


@pytest.fixture
def tenant(tmp_path: Path) -> Path:
    path = tmp_path / "tenant.yaml"
    path.write_text(TENANT)
    return path


def refusal(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The lines of standard error, without the file's name, after a run that must fail and print nothing else."""
    assert main(["schedule", "-f", str(path), *SPAN, *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    return [line.removeprefix(f"error: {path}: ") for line in err.splitlines()]


def test_json_is_the_state_at_from_and_then_every_change_before_to(
    tenant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schedule", "-f", str(tenant), *SPAN, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"time": "2026-11-10T00:00:00Z", "window": "default", "minReplicas": 3, "maxReplicas": 6},
        {"time": "2026-11-10T14:00:00Z", "window": "night", "minReplicas": 1, "maxReplicas": 2},
        {"time": "2026-11-10T16:00:00Z", "window": "singles-day", "minReplicas": 6, "maxReplicas": 20},
        {"time": "2026-11-11T16:00:00Z", "window": "night", "minReplicas": 1, "maxReplicas": 2},
    ]


HOLIDAYS = """
    exceptions:
      - {name: holidays, calendarRef: {name: cn-2026}, minReplicas: 0}
"""
CALENDAR = """
apiVersion: ttsfleet.io/v1alpha1
kind: TTSCalendar
metadata: {name: cn-2026}
spec:
  dates:
    - {name: Singles Day, from: "2026-11-11"}
"""


def with_holidays(tenant: Path) -> None:
    before, found, _ = TENANT.partition("    exceptions:")
    assert found
    tenant.write_text(before.rstrip() + HOLIDAYS)


def test_dates_of_a_calendar_may_be_in_another_file(
    tenant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_holidays(tenant)
    (tmp_path / "calendar.yaml").write_text(CALENDAR)
    assert main(["schedule", "-f", str(tenant), "-f", str(tmp_path / "calendar.yaml"), *SPAN]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split()[-3:] for line in out.splitlines()[1:]] == [
        ["default", "3", "6"],
        ["night", "1", "2"],
        ["holidays", "0", "0"],
        ["night", "1", "2"],
    ]


def test_a_calendar_that_no_file_has_is_told_with_what_to_do(tenant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_holidays(tenant)
    assert main(["schedule", "-f", str(tenant), *SPAN]) == 0
    out, err = capsys.readouterr()
    assert "holidays" not in out.partition("\n")[2]
    assert err == (
        "warning: spec.schedule.exceptions[holidays] is left out: TTSCalendar cn-2026 is in none of the files; add it:"
        " kubectl get ttscalendar cn-2026 -o yaml > cn-2026.yaml, and -f cn-2026.yaml\n"
    )


def test_a_mistake_in_a_calendar_names_it(tenant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "calendar.yaml").write_text(CALENDAR.replace("2026-11-11", "11.11."))
    assert main(["schedule", "-f", str(tenant), "-f", str(tmp_path / "calendar.yaml"), *SPAN]) == 1
    assert capsys.readouterr().err == (
        'error: TTSCalendar cn-2026: spec.dates[0].from: "11.11." is not valid: write a date as YYYY-MM-DD\n'
    )


def test_the_table_shows_utc_and_the_tenants_own_time(tenant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "-f", str(tenant), *SPAN]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "UTC                    ASIA/SHANGHAI                   WINDOW        MIN   MAX",
        "2026-11-10T00:00:00Z   Tue 2026-11-10 08:00:00 +0800   default       3     6",
        "2026-11-10T14:00:00Z   Tue 2026-11-10 22:00:00 +0800   night         1     2",
        "2026-11-10T16:00:00Z   Wed 2026-11-11 00:00:00 +0800   singles-day   6     20",
        "2026-11-11T16:00:00Z   Thu 2026-11-12 00:00:00 +0800   night         1     2",
    ]


@pytest.mark.parametrize("output", ["json", "table"])
def test_each_row_is_printed_before_the_next_is_looked_for(
    tenant: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    """Thousands of years have more rows than fit into memory."""
    printed = io.StringIO()

    def watched(*span: Any) -> Iterator[Change]:
        rows = 1
        for change in changes(*span):
            assert len(re.findall("default|night|singles-day", printed.getvalue())) == rows
            yield change
            rows += 1

    monkeypatch.setattr(sys, "stdout", printed)
    monkeypatch.setattr(schedule_command, "changes", watched)
    assert main(["schedule", "-f", str(tenant), *SPAN, "-o", output]) == 0
    assert "night" in printed.getvalue()


def test_an_offset_in_from_is_printed_as_utc(tenant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    span = ("--from", "2026-11-10T08:00:00.5+08:00", "--to", "2026-11-10t14:00:00z")
    assert main(["schedule", "-f", str(tenant), *span, "-o", "json"]) == 0
    assert [row["time"] for row in json.loads(capsys.readouterr().out)] == ["2026-11-10T00:00:00.500000Z"]


def test_without_from_and_to_the_next_seven_days_are_shown(tenant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "-f", str(tenant), "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) in range(8, 16)


def test_a_tenant_without_a_schedule_is_one_replica(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tenant.yaml"
    path.write_text(TENANT[: TENANT.index("  schedule:")])
    assert main(["schedule", "-f", str(path), *SPAN, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"time": "2026-11-10T00:00:00Z", "window": "default", "minReplicas": 1, "maxReplicas": 1}
    ]


def test_a_field_without_a_value_is_not_set_as_in_the_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tenant.yaml"
    path.write_text(WITHOUT_VALUES)
    assert main(["schedule", "-f", str(path), *SPAN, "-o", "json"]) == 0
    (only,) = json.loads(capsys.readouterr().out)
    assert (only["window"], only["minReplicas"]) == ("default", 3)


def test_a_dash_reads_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TENANT.encode())))
    assert main(["schedule", "-f", "-", *SPAN, "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 4


def test_of_several_tenants_one_is_chosen(tenant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = TENANT[TENANT.index("---") :].replace("name: acme", "name: beta").replace("22:00", "20:00")
    tenant.write_text(TENANT + other)
    choose = "choose one with --tenant NAME and -n NAMESPACE"
    assert refusal(tenant, capsys) == [f"2 TTSTenants found (team-acme/acme, team-acme/beta); {choose}"]
    assert main(["schedule", "-f", str(tenant), *SPAN, "--tenant", "beta", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[1]["time"] == "2026-11-10T12:00:00Z"


def test_what_kubectl_get_printed_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (_, stored) = yaml.safe_load_all(TENANT.replace("22:00", "'22:00'").replace("06:00", "'06:00'"))
    exception: dict[str, Any] = stored["spec"]["schedule"]["exceptions"][0]
    exception |= {"from": "2026-11-11", "to": "2026-11-11"}
    stored["metadata"] |= {"uid": "u", "managedFields": [{"manager": "kubectl"}], "resourceVersion": "12"}
    stored["status"] = {"whatever": "a newer operator wrote"}
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [stored]}, indent="\t"))
    assert main(["schedule", "-f", str(path), *SPAN, "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 4


def test_a_schedule_with_a_zero_is_shown_like_any_other(tenant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zero = "{until: '2100-01-01T00:00:00Z', minReplicas: 0}"
    tenant.write_text(TENANT.replace("    windows:", f"    override: {zero}\n    windows:"))
    assert main(["schedule", "-f", str(tenant), *SPAN]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines()[1].split()[-3:] == ["override", "0", "0"]


@pytest.mark.parametrize(("written", "instead", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_mistake_is_named_with_its_field(
    tenant: Path, capsys: pytest.CaptureFixture[str], written: str, instead: str, message: str
) -> None:
    assert written in TENANT
    tenant.write_text(TENANT.replace(written, instead))
    (problem,) = refusal(tenant, capsys)
    assert problem.startswith(message)


def test_namesakes_are_told_apart_by_their_namespaces(tenant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `kubectl get ttst -A -o yaml` prints them."""
    other = TENANT.replace("namespace: team-acme", "namespace: team-blue").replace("Asia/Shanghai", "Europe/Paris")
    tenant.write_text(f"{TENANT}---\n{other}")
    (problem,) = refusal(tenant, capsys, "--tenant", "acme")
    assert "(team-acme/acme, team-blue/acme)" in problem
    assert main(["schedule", "-f", str(tenant), *SPAN, "-n", "team-blue"]) == 0
    assert "EUROPE/PARIS" in capsys.readouterr().out
    (problem,) = refusal(tenant, capsys, "-n", "team-red")
    assert problem == "no TTSTenant found (apiVersion ttsfleet.io/v1alpha1, namespace team-red)"


def test_a_window_that_others_hide_is_a_warning(tenant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hidden = "{name: nap, start: 23:00, end: 01:00, minReplicas: 2}\n    exceptions:"
    tenant.write_text(TENANT.replace("\n    exceptions:", f"\n      - {hidden}"))
    assert main(["schedule", "-f", str(tenant), *SPAN]) == 0
    said = capsys.readouterr().err
    assert (
        said == "warning: spec.schedule.windows[1], nap, never opens: earlier windows always match first; move it up\n"
    )


def test_every_mistake_is_named_at_once(tenant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tenant.write_text(TENANT.replace("22:00", "22.00").replace("name: singles-day", "name: Singles"))
    assert [line.split(": ")[0] for line in refusal(tenant, capsys)] == [
        "spec.schedule.windows[0].start",
        "spec.schedule.exceptions[0].name",
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(tmp_path / "absent.yaml", capsys) == ["cannot be read: No such file or directory"]
    assert refusal(tmp_path, capsys) == ["cannot be read: Is a directory"]
    (tmp_path / "latin").write_bytes(b"a: \xe9")
    assert refusal(tmp_path / "latin", capsys) == ["not UTF-8 text"]


def test_to_must_be_later_than_from(tenant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instant = "2026-11-10T00:00:00Z"
    assert main(["schedule", "-f", str(tenant), "--from", instant, "--to", instant]) == 1
    assert capsys.readouterr().err == f"error: --to {instant} is not later than --from {instant}\n"


@pytest.mark.parametrize(
    "instant",
    [
        "2026-11-10",
        "2026-11-10T00:00:00",
        "now",
        "2026-02-30T00:00:00Z",
        "2026-11-10T24:00:01Z",
        "0001-01-01T00:00:00Z",
    ],
)
def test_a_time_that_is_not_rfc_3339_is_a_wrong_command_line(
    tenant: Path, capsys: pytest.CaptureFixture[str], instant: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["schedule", "-f", str(tenant), "--from", instant])
    assert left.value.code == 2
    assert "argument --from" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["schedule", "keygen"])
def test_every_flag_is_documented_by_a_sentence(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    flags = re.split(r"\n  (?=-)", capsys.readouterr().out.partition("options:")[2])[1:]
    for flag in flags[1:]:
        text = " ".join(flag.partition("\n\n")[0].split())
        assert re.search(r" [A-Z][a-z].*\.( \(.+\))?$", text), text


def test_keygen_shows_the_key_once_and_stores_only_its_hash(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--tenant", "acme", "--namespace", "team-acme", "--name", "laptop", "-o", "yaml"]
    assert main(["keygen", *wanted]) == 0
    out, err = capsys.readouterr()
    (key,) = re.findall(r"tts_[-_A-Za-z0-9]{43}", err)
    assert key not in out
    secret = yaml.safe_load(out)
    assert (secret["kind"], secret["metadata"]) == ("Secret", {"name": "acme-keys", "namespace": "team-acme"})
    assert base64.b64decode(secret["data"]["laptop"]).decode() == hashlib.sha256(key.encode()).hexdigest()


def test_keygen_makes_the_secret_that_a_tenant_names_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "--secret", "speech-keys", "-n", "team-acme", "-o", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["metadata"] == {"name": "speech-keys", "namespace": "team-acme"}


def test_keygen_names_a_key_after_its_hash(capsys: pytest.CaptureFixture[str]) -> None:
    names = []
    for _ in range(2):
        assert main(["keygen", "--tenant", "acme", "-o", "yaml"]) == 0
        secret = yaml.safe_load(capsys.readouterr().out)
        ((name, entry),) = secret["data"].items()
        assert name == f"key-{base64.b64decode(entry).decode()[:8]}"
        assert secret["metadata"] == {"name": "acme-keys"}
        names.append(name)
    assert names[0] != names[1]


@pytest.mark.parametrize("arguments", [["--name", "a b"], ["--name", "../x"], ["--tenant", "Acme"], ["-n", "a/b"]])
def test_keygen_refuses_names_that_kubernetes_would_refuse(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["keygen", "--secret", "speech-keys", "-o", "yaml", *arguments])
    assert left.value.code == 2
    assert "is not a" in capsys.readouterr().err or "--tenant" in arguments


def test_keygen_makes_no_secret_that_no_tenant_is_named_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["keygen", "-n", "team-acme"])
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert "--tenant --secret is required" in err
    assert out == ""


def test_keygen_without_kubectl_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["keygen", "--tenant", "acme"]) == 1
    assert capsys.readouterr() == (
        "",
        "error: kubectl is not on the PATH; install it\n",
    )
