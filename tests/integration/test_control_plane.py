"""The control plane under the other integration tests is itself what they take it for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hack.cluster.control_plane import ControlPlane, Options
from hack.cluster.errors import CommandError


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
    events = [json.loads(line) for line in control_plane.audit_log.read_text().splitlines()]
    ours = [event for event in events if event.get("impersonatedUser", {}).get("username") == "a-writer"]
    assert [event["verb"] for event in ours if event["verb"] != "get"] == ["create"]
    control_plane.kubectl("delete", "configmap", "counted")


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
