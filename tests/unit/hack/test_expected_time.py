"""The demo announces the time that it will take on this machine, with this cluster."""

from pathlib import Path

import pytest

from hack.cluster import binaries, images
from hack.cluster.choice import KIND_SECONDS, NODE_SECONDS, KindCluster, NodeCluster
from hack.cluster.current import CurrentCluster
from hack.cluster.files import cache_folder
from hack.cluster.progress import about


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with an empty cache and no program on its path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)


def built(*families: binaries.Family) -> None:
    for family in families:
        family.cache().mkdir(parents=True, exist_ok=True)
        for program in family.programs:
            (family.cache() / program).touch()


def test_the_first_time_everything_is_built() -> None:
    programs = sum(sum(family.seconds.values()) for family in binaries.CLUSTER)
    assert NodeCluster().expected_seconds() == programs + NODE_SECONDS


def test_what_was_built_before_takes_no_time() -> None:
    built(*binaries.CLUSTER)
    assert NodeCluster().expected_seconds() == images.build_seconds(with_docker=False) + NODE_SECONDS
    for image in images.IMAGES:
        archive = cache_folder() / "images" / f"{image.name}-{image.digest}.tar"
        archive.parent.mkdir(exist_ok=True)
        archive.touch()
    assert NodeCluster().expected_seconds() == NODE_SECONDS


def test_kind_builds_no_node_and_a_cluster_of_ones_own_neither() -> None:
    clients = binaries.build_seconds(binaries.CLIENTS)
    kind = binaries.build_seconds(binaries.KIND)
    assert 0 < clients < 100
    assert KindCluster().expected_seconds() == max(kind + clients + KIND_SECONDS, 2 * images.DOCKER_SECONDS)
    assert CurrentCluster().expected_seconds() == clients


@pytest.mark.parametrize(
    ("seconds", "message"),
    [(20, "about 20 s"), (120, "about 120 s"), (180, "about 3 minutes"), (631, "about 11 minutes")],
)
def test_long_times_are_told_in_minutes(seconds: float, message: str) -> None:
    assert about(seconds) == message
