"""Servers that several contract suites share: each is started at its first use."""

from collections.abc import Iterator

import pytest

from tests.contract.object_store import ObjectStore, running_object_store


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with running_object_store(tmp_path_factory.mktemp("object-store")) as running:
        yield running
