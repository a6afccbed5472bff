"""The control plane under the other integration tests is itself what they take it for."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hack.cluster.control_plane import ControlPlane, Options
from hack.cluster.errors import CommandError

LOGGED_SECONDS = 20.0


def test_the_api_server_is_the_pinned_version(control_plane: ControlPlane) -> None:
    version = json.loads(control_plane.kubectl("version", "--output=json"))
    assert version["serverVersion"]["gitVersion"] == version["clientVersion"]["gitVersion"]


def test_controllers_act_on_what_is_applied(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "deployment", "quiet", "--image=example.invalid/quiet:1", "--replicas=2")
    control_plane.kubectl("wait", "deployment/quiet", "--for=jsonpath={.status.replicas}=2", "--timeout=60s")
    control_plane.kubectl("delete", "deployment", "quiet", "--wait")


def test_a_refusal_carries_the_servers_words(control_plane: ControlPlane) -> None:
    with pytest.raises(CommandError, match='namespaces "nowhere" not found'):
        control_plane.kubectl("create", "configmap", "lost", "--namespace=nowhere")


def test_writes_can_be_counted_in_the_audit_log(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "configmap", "counted", "--as=a-writer", "--as-group=system:masters")
    control_plane.kubectl("delete", "configmap", "counted", "--as=a-writer", "--as-group=system:masters")
    deadline = time.monotonic() + LOGGED_SECONDS
    while (verbs := written_by(control_plane, "a-writer"))[-1:] != ["delete"]:
        assert time.monotonic() < deadline, verbs
        time.sleep(0.05)
    assert verbs == ["create", "delete"]


def written_by(plane: ControlPlane, user: str) -> list[str]:
    """Verbs of this user's writes so far. The API server may answer before it has logged the whole line."""
    lines = plane.audit_log.read_text().split("\n")[:-1]
    events = [json.loads(line) for line in lines]
    ours = [event for event in events if event.get("impersonatedUser", {}).get("username") == user]
    return [event["verb"] for event in ours if event["verb"] not in {"get", "list", "watch"}]


def test_starting_twice_finds_the_first_and_stopping_leaves_nothing(tmp_path: Path) -> None:
    options = Options(die_with_parent=True)
    first = ControlPlane.start(tmp_path / "plane", options)
    running = first.processes.running()
    second = ControlPlane.start(tmp_path / "plane", options)
    assert second.processes.running() == running
    assert second.server == first.server
    second.stop()
    assert first.processes.running() == {}
    assert not first.folder.exists()
