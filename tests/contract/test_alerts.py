"""Prometheus evaluates the chart's alerts: each fires where it should, says so, and is silent otherwise."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import binaries
from hack.cluster.commands import run
from hack.promtool import promtool
from tests.support.alert_cases import ALERTS

ROOT = Path(__file__).parents[2]
RULES = ROOT / "charts" / "ttsfleet" / "files" / "prometheus" / "alerts.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def recording_rules() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "record" in rule]


def written() -> dict[str, dict[str, Any]]:
    """The alerts of the file by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def evaluate(folder: Path, tests: Mapping[str, dict[str, Any]]) -> None:
    """Run promtool over each alert's test; fails with its explanation, which names the alert, unless all pass."""
    records, paths = recording_rules(), []
    for name, test in tests.items():
        # Each alert beside the rules that it reads alone: all of them together take a minute.
        needed = [rule for rule in records if rule["record"] in written()[name]["expr"]]
        file = folder / f"{name}.rules.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": [*needed, written()[name]]}]}))
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"rule_files": [str(file)], "evaluation_interval": "1m", "tests": [test]}))
        paths.append(str(path))
    checked("test", "rules", *paths)


def checked(*arguments: str) -> None:
    done = subprocess.run([str(promtool()), *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def alert_test(name: str, series: Mapping[str, str], expected: list[Any]) -> dict[str, Any]:
    """One alert at the minute of its case, in promtool's words."""
    at = {"eval_time": f"{ALERTS[name].minute}m", "alertname": name, "exp_alerts": expected}
    inputs = [{"series": each, "values": values} for each, values in series.items()]
    return {"name": name, "interval": "1m", "input_series": inputs, "alert_rule_test": [at]}


def firing(name: str) -> dict[str, Any]:
    """The alert as Prometheus hands it to the Alertmanager."""
    case, rule = ALERTS[name], written()[name]
    said = {"summary": case.summary, "description": case.description or rule["annotations"]["description"]}
    return {"exp_labels": {**case.labels, **rule["labels"]}, "exp_annotations": said}


def test_every_alert_has_cases_and_a_runbook() -> None:
    assert list(written()) == list(ALERTS)
    assert {path.stem for path in RUNBOOKS.glob("TTS*.md")} == set(ALERTS)


def test_alerts_read_metrics_that_the_programs_have() -> None:
    reference = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| `(tts_\w+)`", reference, re.MULTILINE))
    read = {name for rule in rules() for name in re.findall(r"(?<![\w:])tts_\w+", rule["expr"])}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in read} <= known


def test_prometheus_reads_the_rules() -> None:
    checked("check", "rules", str(RULES))


def test_every_alert_fires_and_says_what_is_wrong(tmp_path: Path) -> None:
    evaluate(tmp_path, {name: alert_test(name, case.fires, [firing(name)]) for name, case in ALERTS.items()})


def test_every_alert_is_silent_while_nothing_is_wrong(tmp_path: Path) -> None:
    evaluate(tmp_path, {name: alert_test(name, case.quiet, []) for name, case in ALERTS.items()})


def test_the_chart_renders_the_rules_with_its_values(tmp_path: Path) -> None:
    helm, chart = binaries.ensure(binaries.HELM)["helm"], ROOT / "charts" / "ttsfleet"
    values = [flag for name in ("default", "everything") for flag in ("-f", chart / "ci" / f"{name}-values.yaml")]
    version = ("--kube-version", binaries.KUBERNETES_VERSION)
    rendered = yaml.safe_load_all(run([helm, "template", "fleet", chart, *version, *values]))
    spec = next(body["spec"] for body in rendered if body and body["kind"] == "PrometheusRule")
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    checked("check", "rules", str(path))
    by_name = {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"] if "alert" in rule}
    assert by_name.keys() == ALERTS.keys() - {"TTSGPUBusy"}
    high = written()["TTSErrorsHigh"]
    link = "https://speech.example/runbooks/TTSErrorsHigh.md"
    assert by_name["TTSErrorsHigh"] == high | {
        "labels": {"severity": "page"},
        "annotations": high["annotations"] | {"runbook_url": link},
    }
    budget = next(rule for group in spec["groups"] for rule in group["rules"] if "budget" in rule.get("record", ""))
    assert budget["expr"] == "vector(12.50)"
