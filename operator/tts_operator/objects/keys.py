"""Work queue keys."""

from typing import NamedTuple


class Key(NamedTuple):
    """Key of an object in the work queue: a tenant or, without namespace, a model."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def model_key(name: str) -> Key:
    """Key of a TTSModel, which is cluster-scoped and so has no namespace."""
    return Key("", name)
