"""The API server that integration tests run against: a real one, brought up by the run itself, without root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.cluster.control_plane import ControlPlane, Options
from tests.support.control_planes import install_crds, wait_until_collected


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this run's own, with an audit log; the kernel ends it if the run is killed."""
    folder = tmp_path_factory.mktemp("control-plane")
    plane = ControlPlane.start(folder, Options(audit=True, die_with_parent=True))
    yield plane
    plane.stop()


@pytest.fixture(scope="session")
def kubeconfig(control_plane: ControlPlane) -> Path:
    """An administrator's kubeconfig for an API server that serves both resources."""
    install_crds(control_plane)
    wait_until_collected(control_plane)
    return control_plane.kubeconfig
