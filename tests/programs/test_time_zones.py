"""The time zone database is that of the pinned package, in both programs, whatever the machine has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tzdata

PACKAGE = Path(tzdata.__file__).parent / "zoneinfo"
PROGRAMS = {"tts-operator": "tts_operator.cli.main", "kubectl-tts": "tts_operator.cli.kubectl_tts"}
TENANT = """
apiVersion: ttsfleet.io/v1alpha1
kind: TTSTenant
metadata: {name: acme, namespace: team-acme}
spec:
  models: [{name: espeak}]
  schedule:
    timeZone: America/Winnipeg
    default: {minReplicas: 1}
    windows: [{name: day, start: "08:00", end: "18:00", minReplicas: 2}]
"""


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine whose database takes Winnipeg's time for Tokyo's, and knows no other zone."""
    wrong = tmp_path / "zoneinfo" / "America" / "Winnipeg"
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes((PACKAGE / "Asia" / "Tokyo").read_bytes())
    return {**os.environ, "PYTHONTZPATH": str(tmp_path / "zoneinfo")}


def test_a_schedule_is_previewed_by_the_pinned_database(machine: dict[str, str]) -> None:
    command = [sys.executable, "-m", PROGRAMS["kubectl-tts"], "schedule", "-f", "-", "-o", "json"]
    span = ["--from", "2026-07-01T12:00:00Z", "--to", "2026-07-01T20:00:00Z"]
    shown = subprocess.run([*command, *span], env=machine, input=TENANT, capture_output=True, text=True, check=True)
    changes = json.loads(shown.stdout)
    assert [(each["time"], each["window"]) for each in changes] == [
        ("2026-07-01T12:00:00Z", "default"),
        ("2026-07-01T13:00:00Z", "day"),  # 08:00 at UTC-5
    ]


@pytest.mark.parametrize(("program", "module"), PROGRAMS.items(), ids=PROGRAMS)
def test_each_program_pins_the_database_before_anything_else_and_names_its_release(
    machine: dict[str, str], program: str, module: str
) -> None:
    script = f"import {module} as program, zoneinfo, atexit; atexit.register(lambda: print(zoneinfo.TZPATH))"
    command = [sys.executable, "-c", f"{script}; program.main(['--version'])"]
    shown = subprocess.run(command, env=machine, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown[0].startswith(f"{program} ")
    assert shown[0].endswith(f"(time zones: IANA {tzdata.IANA_VERSION})")
    assert shown[1] == "()"
