"""`make generate` writes what the models say, and `make verify` names what no longer does."""

import sys
from pathlib import Path

import pytest

from hack import generate
from tts_operator.api.crd import RESOURCES
from tts_operator.api.support import MODEL, TENANT
from tts_operator.telemetry.metrics import Metrics as OperatorMetrics
from tts_operator.telemetry.waker_metrics import WakerMetrics
from tts_server.telemetry.metrics import Metrics as ServerMetrics


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one."""
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["generate", *arguments])
    return generate.main()


def test_what_was_written_is_current(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch) == 0
    assert run(monkeypatch, "--check") == 0


def test_a_stale_file_is_named_and_left_alone(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch)
    stale = checkout / "crds" / "ttstenants.yaml"
    stale.write_text("edited by hand")
    capsys.readouterr()
    assert run(monkeypatch, "--check") == 1
    assert capsys.readouterr().err == "stale: crds/ttstenants.yaml; run `make generate`\n"
    assert stale.read_text() == "edited by hand"


def test_the_chart_carries_the_same_definitions(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch)
    ours, the_charts = checkout / "crds", checkout / "charts" / "ttsfleet" / "files" / "crds"
    assert {file.name: file.read_text() for file in ours.iterdir()} == {
        file.name: file.read_text() for file in the_charts.iterdir()
    }


def test_every_metric_of_both_programs_has_its_line(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch)
    page = (checkout / "docs" / "reference" / "metrics.md").read_text()
    assert "| `tts_requests_total` | counter | `tenant`, `model`, `voice`, `status_code` | Speech requests" in page
    for registry in (ServerMetrics().registry, OperatorMetrics().registry, WakerMetrics().registry):
        for family in registry.collect():
            assert f"| `{family.name}" in page


def test_flags_and_files_of_both_programs_have_their_lines(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_OPERATOR_WORKERS", "99")  # of this machine, and nobody else's business
    run(monkeypatch)
    reference = checkout / "docs" / "reference"
    server = (reference / "tts-server.md").read_text()
    assert "| `--port` | `8080` | Port of the API; 0 chooses a free one. |" in server
    assert "| `models[].engine.threads` | integer, from 1 to 64 | `1` |" in server
    assert "| `redis` | object |  | Unset: limits, refresh tokens and cache are this replica's own. |" in server
    assert "| `requestsPerMinute` | integer, from 1 |  | Maximum requests in any 60 seconds. |" in server
    workers = "| `--workers` | `TTS_OPERATOR_WORKERS` | `8` | Number of tenants that are reconciled at the same time. |"
    assert workers in (reference / "tts-operator.md").read_text()


def test_the_reference_tells_type_bounds_default_and_rules(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch)
    page = (checkout / "docs" / "reference" / "ttstenant.md").read_text().splitlines()
    assert (
        '| `spec.auth.modes` | list of None \\| APIKey \\| JWT, 1 to 3 entries | `["APIKey"]` |'
        " Accepted authentication modes. None allows every caller. |"
    ) in page
    assert any(line.startswith("| `spec.isolation` |") and "Not supported yet: Shared. |" in line for line in page)
    assert (
        "| `spec.suspend` | boolean | `false` | Scale the endpoint to zero replicas; keep its other objects. |" in page
    )
    assert "- isolation Shared does not allow auth.external" in page


def test_fields_that_are_not_supported_yet_have_a_section_of_the_reference(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch)
    for page, table in (("ttstenant.md", TENANT), ("ttsmodel.md", MODEL)):
        section = (checkout / "docs" / "reference" / page).read_text().partition("\n## Not supported yet\n")[2]
        assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == [
            field.path for field in table
        ]


def test_a_reference_without_such_fields_has_no_such_section() -> None:
    assert generate.not_supported_yet(RESOURCES[0]._replace(unsupported=())) == []
