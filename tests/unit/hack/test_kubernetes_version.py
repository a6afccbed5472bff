"""The pinned Kubernetes has no vulnerability that a later release of its minor version mends."""

from __future__ import annotations

import re

import pytest

from hack.cluster.binaries import KUBERNETES_VERSION, MODULES

AFFECTED = {
    "CVE-2026-2270": [("1.36.0", "1.36.4"), ("1.37.0", "1.37.0")],
}
"""First and last affected version of each minor version."""


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@pytest.mark.parametrize("vulnerability", AFFECTED)
def test_the_pin_is_not_affected(vulnerability: str) -> None:
    pin = number(KUBERNETES_VERSION)
    assert not [found for found in AFFECTED[vulnerability] if number(found[0]) <= pin <= number(found[1])]


@pytest.mark.parametrize("family", ["kubernetes", "containerd", "coredns", "helm"])
def test_the_modules_are_those_of_the_pinned_version(family: str) -> None:
    """Match every replacement of a module of Kubernetes, and the module of its programs."""
    text = (MODULES / family / "go.mod").read_text(encoding="utf-8")
    versions = re.findall(r"k8s\.io/[\w-]+ => k8s\.io/[\w-]+ v0\.(\S+)", text)
    versions += re.findall(r"k8s\.io/kubernetes v1\.(\S+)", text)
    assert {f"1.{version}" for version in versions} == {KUBERNETES_VERSION}
