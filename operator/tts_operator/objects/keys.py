"""Work queue keys."""

from typing import NamedTuple


class Key(NamedTuple):
    """A tenant's name, as the work queue keeps it."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def model_key(name: str) -> Key:
    """A TTSModel in the queue: cluster-scoped, so it has no namespace."""
    return Key("", name)
