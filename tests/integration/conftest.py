"""The API server that integration tests run against: a real one, brought up by the run itself, without root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.cluster.control_plane import ControlPlane, Options
from tests.support.control_planes import collect_tenants, install_crds

LONGEST_FIRST = (
    "test_sequences",
    "test_docs",
    "test_watch_faults",
    "test_leadership",
    "test_rollouts",
    "test_two_releases",
    "test_crash",
    "test_interference",
    "test_others",
    "test_lifecycle",
)
"""Files that take a minute or more: one that starts last keeps one worker busy while the others have nothing to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """Place among the long files; files of other folders keep theirs before them."""
    if not item.path.is_relative_to(Path(__file__).parent):
        return -1
    name = item.path.stem
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)


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
    collect_tenants(control_plane)
    return control_plane.kubeconfig
