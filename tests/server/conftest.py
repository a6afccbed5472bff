"""Fixtures that the suites of the server's HTTP share."""

from tests.support.fixtures import engines_of_the_tests, object_store

__all__ = ["engines_of_the_tests", "object_store"]
