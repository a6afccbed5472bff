"""Fixtures that several suites share: servers, each started at its first use, and the tests' own engines."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.s3_server import ObjectStore, running_object_store


@pytest.fixture(scope="session", autouse=True)
def engines_of_the_tests() -> Iterator[None]:
    """Workers find this package as they find any other: on the path."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with running_object_store(tmp_path_factory.mktemp("object-store")) as running:
        yield running
