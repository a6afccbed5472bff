"""Both kubectl and our reader read the same files, and must find the same values. No API server is needed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from hack.cluster.binaries import CONTROL_PLANE, ensure
from tests.support.yaml_cases import MAPPINGS, SCALARS
from tts_operator.cli.kubectl_yaml import JSON, load_all


@pytest.fixture(scope="session")
def kubectl() -> Path:
    return ensure(CONTROL_PLANE)["kubectl"]


def as_kubectl_reads(kubectl: Path, file: Path) -> JSON:
    """Read the file with kubectl: a patch that changes nothing, without a server, prints what would be sent."""
    command = [str(kubectl), "patch", "--local", "--type=merge", "--patch={}", "-o=json", "-f", str(file)]
    document: JSON = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return document


def both(kubectl: Path, file: Path, text: str) -> tuple[JSON, JSON]:
    file.write_text(text)
    (ours,) = load_all(text)
    return ours, as_kubectl_reads(kubectl, file)


def test_unquoted_times_dates_y_and_n_are_what_kubectl_reads(kubectl: Path, tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: scalars}\nscalars:\n"
    text += "".join(f"  s{index}: {scalar}\n" for index, scalar in enumerate(SCALARS))
    ours, theirs = both(kubectl, tmp_path / "scalars.yaml", text)
    assert ours == theirs


@pytest.mark.parametrize("text", [text for text, _ in MAPPINGS.values()], ids=MAPPINGS)
def test_keys_merges_and_blocks_are_what_kubectl_reads(kubectl: Path, tmp_path: Path, text: str) -> None:
    inner = text if text.startswith("{") else "\n" + "".join(f"  {line}\n" for line in text.splitlines())
    document = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: mapping}}\nmapping: {inner}\n"
    ours, theirs = both(kubectl, tmp_path / "mapping.yaml", document)
    assert ours == theirs


def test_json_with_tabs_is_what_kubectl_reads(kubectl: Path, tmp_path: Path) -> None:
    text = '{\n\t"apiVersion": "v1", "kind": "ConfigMap",\n\t"metadata": {"name": "a"}, "data": {"start": "22:00"}\n}\n'
    ours, theirs = both(kubectl, tmp_path / "tabs.json", text)
    assert ours == theirs
