"""Folders that a cluster needs on the machine are removed with the last cluster that covers them, and no others are."""

from __future__ import annotations

from pathlib import Path

from hack.cluster.files import CoverPoints


def test_only_what_was_made_is_removed(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    points = CoverPoints(tmp_path / "made.json")
    points.make([str(tmp_path / "var/lib/kubelet")])
    points.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["var"]
    assert list((tmp_path / "var").iterdir()) == []


def test_a_folder_that_is_used_stays(tmp_path: Path) -> None:
    points = CoverPoints(tmp_path / "made.json")
    points.make([str(tmp_path / "var/kubelet")])
    (tmp_path / "var/kubelet/theirs").touch()
    points.remove()
    assert (tmp_path / "var/kubelet/theirs").exists()


def test_the_heir_removes_what_it_was_left(tmp_path: Path) -> None:
    target = tmp_path / "kubelet"
    elder, heir = CoverPoints(tmp_path / "elder.json"), CoverPoints(tmp_path / "heir.json")
    elder.make([str(target)])
    heir.make([str(target)])
    elder.hand_over(heir)
    elder.remove()
    assert target.exists()
    heir.remove()
    assert list(tmp_path.iterdir()) == []
