"""Fixtures that every contract suite shares."""

from tests.support.fixtures import engines_of_the_tests, object_store

__all__ = ["engines_of_the_tests", "object_store"]
