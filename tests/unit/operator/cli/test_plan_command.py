"""`kubectl tts plan`, as a person runs it. What it computes is tested with the planner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.resources import model_body, precision, tenant_body
from tts_operator.cli.kubectl_tts import main

PRESET = {"preset": "DayNightWeekend", "timeZone": "Asia/Shanghai"}
MONDAY = "--from=2026-11-01T16:00:00Z"


def priced(**changed: Any) -> dict[str, Any]:
    figures = {"requestsPerSecond": 15, "quality": "9.8", "hourlyCost": "2.1", **changed}
    return model_body(precisions=[{**precision(), **{name: value for name, value in figures.items() if value}}])


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The flags for a tenant and its model."""
    return [flag for body in (tenant_body(schedule=PRESET), priced()) for flag in written(tmp_path, body)]


def written(folder: Path, *bodies: dict[str, Any]) -> list[str]:
    path = folder / f"{len(list(folder.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump_all(bodies))
    return ["-f", str(path)]


def errors(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["plan", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    return [line.removeprefix("error: ") for line in err.splitlines()]


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["plan", *arguments, "-o", "json", MONDAY]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_json_has_the_whole_plan(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, *files, "--requests-per-second=20")
    assert [(each["window"], each["minReplicas"], each["hoursPerWeek"]) for each in plan["windows"]] == [
        ("night", 1, 42),
        ("day", 3, 90),
        ("weekend", 2, 36),
    ]
    assert plan["windows"][0]["p95SecondsAtMin"] is None  # 20 arrive and 15 are served: JSON has no infinity
    assert (plan["monthly"], plan["recommended"]) == ("3439.80", "fp32")
    assert plan["month"] == {"from": "2026-10-31T16:00:00Z", "to": "2026-11-30T16:00:00Z"}


def test_one_file_may_hold_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = written(tmp_path, priced(), tenant_body(schedule=PRESET))
    assert planned(capsys, *both)["monthly"] == "3439.80"


def test_hours_come_from_a_csv_in_local_time(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "week.csv").write_text("weekday,hour,requestsPerSecond\nMon,9,30.5\nSun,23,4\n")
    plan = planned(capsys, *files, "--traffic", str(tmp_path / "week.csv"))
    assert [each["peakRequestsPerSecond"] for each in plan["windows"]] == [0, 30.5, 4]
    assert [each["replicasNeeded"] for each in plan["precisions"][0]["windows"]] == [1, 3, 1]


def test_prices_of_the_platform_serve_models_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = written(tmp_path, priced(hourlyCost=None), tenant_body(schedule=PRESET))
    assert planned(capsys, *both)["monthly"] is None
    assert planned(capsys, *both, "--cpu-hour=1", "--memory-gib-hour=0.8")["monthly"] == f"{1638 * 0.2:.2f}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the first line must be weekday,hour,requestsPerSecond"),
        ("day,hour,rate\n", "the first line must be weekday,hour,requestsPerSecond"),
        ("weekday,hour,requestsPerSecond\n", "there is no hour in it: write lines such as Mon,9,12.5"),
        (
            "weekday,hour,requestsPerSecond\nMonday,9,1\n",
            "line 2: weekday must be one of Mon, Tue, Wed, Thu, Fri, Sat, Sun, not 'Monday'",
        ),
        ("weekday,hour,requestsPerSecond\nMon,24,1\n", "line 2: hour must be a whole number from 0 to 23, not '24'"),
        (
            "weekday,hour,requestsPerSecond\nMon,9\n",
            "line 2: requestsPerSecond must be a number from 0 to 1000000, not ''",
        ),
        (
            "weekday,hour,requestsPerSecond\nMon,9,nan\n",
            "line 2: requestsPerSecond must be a number from 0 to 1000000, not 'nan'",
        ),
        ("weekday,hour,requestsPerSecond\nMon,9,1\nMon,9,2\n", "line 3: Mon 9 is there twice; write it once"),
    ],
)
def test_a_table_that_cannot_be_read_names_its_line(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, problem: str
) -> None:
    path = tmp_path / "week.csv"
    path.write_text(text)
    assert errors(capsys, *files, "--traffic", str(path)) == [f"{path}: {problem}"]


def test_a_file_that_is_not_there_is_named(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "no.csv"
    assert errors(capsys, *files, "--traffic", str(path)) == [f"{path}: cannot be read: No such file or directory"]
    assert errors(capsys, "-f", str(path)) == [f"{path}: cannot be read: No such file or directory"]


def test_the_model_must_be_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = errors(capsys, *written(tmp_path, tenant_body()), *written(tmp_path, model_body("another")))
    assert problem.startswith("TTSModel espeak is in none of the files; add it: kubectl get ttsmodel espeak -o yaml")


def test_a_model_that_the_api_server_would_refuse_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = priced(hourlyCost="cheap")
    (problem,) = errors(capsys, *written(tmp_path, tenant_body()), *written(tmp_path, body))
    assert problem == (
        'TTSModel espeak: spec.precisions[0].hourlyCost: "cheap" is not valid: write a decimal number in quotes, such'
        ' as "1.20"'
    )


def test_what_the_plan_leaves_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = priced()
    body["spec"]["fallback"] = {"modelRef": {"name": "last"}}
    both = written(tmp_path, tenant_body({"name": "espeak", "precision": "int8"}, "second"), body)
    assert main(["plan", *both, MONDAY]) == 0
    out = capsys.readouterr().out
    assert out.endswith(
        "\nSpec.models sets int8, the model offers fp32: fp32 is the nearest.\n"
        "\nThis is the plan of espeak alone; pools of second, last cost besides.\n"
    )


def test_a_table_that_excel_wrote_is_read(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "week.csv").write_text("\ufeffweekday, hour, requestsPerSecond\r\nMon,9,30.5\r\n", encoding="utf-8")
    assert planned(capsys, *files, "--traffic", str(tmp_path / "week.csv"))["recommended"] == "fp32"


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--cache-ratio=1.5", "'1.5' is not a number from 0 to 1"),
        ("--p95-seconds=0", "'0' is not a number from 0.001 to 3600"),
        ("--quality-floor=11", "'11' is not a quality from 0 to 10, such as 9.5"),
        ("--cpu-hour=-1", "'-1' is not a price such as 0.0316"),
        ("--requests-per-second=nan", "'nan' is not a number from 0 to 1e+06"),
        ("--extended-resource-hour=gpu=2", "'gpu=2' is not a resource and its price, such as nvidia.com/gpu=2.10"),
        ("--extended-resource-hour=nvidia.com/gpu", "'nvidia.com/gpu' is not a resource and its price"),
        ("--replicas=3", "unrecognized arguments: --replicas=3"),
    ],
)
def test_a_wrong_flag_says_what_to_write(
    files: list[str], capsys: pytest.CaptureFixture[str], flag: str, problem: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", *files, flag])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert problem in said
    assert said.startswith("usage: kubectl tts plan "), "the flags of this command, not those of all"


def test_an_object_that_is_there_twice_is_named(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tenant = tenant_body(schedule=PRESET)
    again = [*files, *written(tmp_path, tenant)]
    name = f"{tenant['metadata']['namespace']}/{tenant['metadata']['name']}"
    assert errors(capsys, *again) == [f"TTSTenant {name} is there 2 times: leave all but one out"]
    assert errors(capsys, *files, *written(tmp_path, priced(quality="1"))) == [
        "TTSModel espeak is there 2 times: leave all but one out"
    ]


def test_extended_resources_have_a_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = priced(hourlyCost=None)
    body["spec"]["precisions"][0]["resources"]["limits"]["nvidia.com/gpu"] = 2
    both = written(tmp_path, body, tenant_body(schedule=PRESET))
    prices = ("--cpu-hour=1", "--memory-gib-hour=0.8")
    assert planned(capsys, *both, *prices)["monthly"] is None, "a part of the cost would pass for the whole"
    found = planned(capsys, *both, *prices, "--extended-resource-hour=nvidia.com/gpu=2.10")
    assert found["monthly"] == f"{1638 * 4.4:.2f}"


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ((), 0),
        (("--requests-per-second=20",), 0),
        (("--requests-per-second=20", "--quality-floor=10"), 3),
        (("--requests-per-second=900000",), 3),
    ],
)
@pytest.mark.parametrize("output", ["table", "json"])
def test_the_exit_status_says_whether_there_is_an_answer(
    files: list[str], capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], status: int, output: str
) -> None:
    assert main(["plan", *files, *flags, MONDAY, "-o", output]) == status
    assert capsys.readouterr().out, "the plan is printed in any case"


def test_an_override_is_billed_from_the_start_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends after a day of the month, and nobody knows when it was set."""
    override = {"until": "2026-11-12T00:00:00Z", "minReplicas": 10, "maxReplicas": 10}
    schedule = {"default": {"minReplicas": 1, "maxReplicas": 1}, "override": override}
    both = written(tmp_path, priced(), tenant_body(schedule=schedule))
    assert main(["plan", *both, "-o", "json", "--from=2026-11-11T00:00:00Z"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["monthly"] == f"{(29 * 24 * 1 + 24 * 10) * 2.1:.2f}"
    assert [each["window"] for each in found["windows"]] == ["override", "default"]
