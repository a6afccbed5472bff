"""Uses the cluster of `make cluster` with the images of `make images`, and installs the chart once per run."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator

import pytest

from e2e.kube import Kube
from e2e.platform import Platform
from hack import demo
from hack.cluster import binaries, choice
from hack.cluster.errors import ClusterError


@pytest.fixture(scope="session")
def installed() -> dict[str, str]:
    """Install the operator. Returns the reference of each image by its name."""
    cluster = choice.choose("e2e")
    if not choice.IMAGES_FILE.exists():
        raise ClusterError("there are no images yet: run `make e2e`, or `make cluster images` first")
    references: dict[str, str] = json.loads(choice.IMAGES_FILE.read_text())
    demo.install(demo.Kube(cluster.kubeconfig), references)
    return references


@pytest.fixture
async def platform(installed: dict[str, str]) -> AsyncIterator[Platform]:
    """Platform team for one story."""
    kube = Kube(binaries.ensure(binaries.CLIENTS)["kubectl"], choice.choose("e2e").kubeconfig)
    platform = Platform(kube, demo.SYSTEM_NAMESPACE, installed["tts-server"], story=secrets.token_hex(3))
    yield platform
    await platform.cleans_up()
