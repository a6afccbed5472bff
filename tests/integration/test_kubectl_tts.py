"""The plugin beside a real kubectl and a real API server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hack.cluster.binaries import CONTROL_PLANE, ensure
from hack.cluster.control_plane import ControlPlane
from hack.cluster.errors import CommandError
from tests.support.tenant_files import PROBLEMS, SPAN, TENANT, WITHOUT_VALUES
from tts_operator.api.crd import definitions
from tts_operator.cli.kubectl_tts import main


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """The run's API server, with both resources and a team's namespace."""
    control_plane.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", input=yaml.safe_dump_all(definitions())
    )
    for plural in ("ttsmodels", "ttstenants"):
        control_plane.kubectl("wait", f"crd/{plural}.ttsfleet.io", "--for=condition=Established", "--timeout=60s")
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-acme}\n"
    control_plane.kubectl("apply", "-f", "-", input=namespace)
    return control_plane


def test_kubectl_finds_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "tenant.yaml").write_text(TENANT)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [str(ensure(CONTROL_PLANE)["kubectl"]), "tts", "schedule", "-f", "tenant.yaml", *SPAN]
    result = subprocess.run(
        command, env={**os.environ, "PATH": path}, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert "2026-11-10T14:00:00Z   Tue 2026-11-10 22:00:00 +0800   night" in result.stdout


def test_a_reader_that_leaves_early_sees_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "tenant.yaml").write_text(TENANT)
    arguments = "schedule -f tenant.yaml --from 2026-01-01T00:00:00Z --to 2066-01-01T00:00:00Z"
    command = f"{sys.executable} -m tts_operator.cli.kubectl_tts {arguments} | head -1"
    result = subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert result.stdout.startswith("UTC ")
    assert result.stderr == ""


@pytest.mark.parametrize("tenant", [TENANT[TENANT.index("---") :], WITHOUT_VALUES], ids=["whole", "without values"])
def test_the_api_server_takes_the_file_that_the_plugin_takes(plane: ControlPlane, tenant: str) -> None:
    assert "acme" in plane.kubectl("apply", "--dry-run=server", "-f", "-", input=tenant)


@pytest.mark.parametrize("mistake", [name for name in PROBLEMS if name not in {"no tenant", "no YAML"}])
def test_the_api_server_refuses_what_the_plugin_refuses(plane: ControlPlane, tmp_path: Path, mistake: str) -> None:
    written, instead, _ = PROBLEMS[mistake]
    path = tmp_path / "tenant.yaml"
    path.write_text(TENANT[TENANT.index("---") :].replace(written, instead))
    assert main(["schedule", "-f", str(path)]) == 1
    with pytest.raises(CommandError, match=r"schedule|unknown field"):
        plane.kubectl("apply", "--dry-run=server", "-f", str(path))


def test_a_second_key_leaves_the_first_in_place(plane: ControlPlane, capsys: pytest.CaptureFixture[str]) -> None:
    hashes: dict[str, str] = {}
    for name in ("laptop", "ci"):
        assert main(["keygen", "--tenant", "acme", "--namespace", "team-acme", "--name", name]) == 0
        manifest = capsys.readouterr().out
        (flag,) = [word for word in manifest.split() if word.startswith("--field-manager=")]
        plane.kubectl("apply", "--server-side", flag, "-f", "-", input=manifest)
        hashes |= yaml.safe_load(manifest)["data"]
    stored = plane.kubectl("get", "secret", "acme-keys", "-n", "team-acme", "-o", "yaml")
    assert yaml.safe_load(stored)["data"] == hashes
