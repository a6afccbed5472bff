"""The few functions of PyTorch that the engines call, over numpy."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Tensor:
    """Weights, with the methods that the engines call."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values

    def detach(self) -> "Tensor":
        return self

    def float(self) -> "Tensor":
        return Tensor(self.values.astype(np.float32, copy=False))

    def cpu(self) -> "Tensor":
        return self

    def numpy(self) -> NDArray[Any]:
        return self.values

    def copy_(self, other: "Tensor") -> None:
        self.values[...] = other.values


class Linear:
    """A module with one weight, which the fakes multiply their audio with."""

    def __init__(self) -> None:
        self.weight = Tensor(np.full((2, 2), 0.5, np.float32))

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        yield "layers.0.proj.weight", self.weight


class cuda:  # noqa: N801 - PyTorch's name
    """There is no GPU."""

    @staticmethod
    def is_available() -> bool:
        return False


def manual_seed(seed: int) -> None:
    np.random.seed(seed)


def from_numpy(values: NDArray[Any]) -> Tensor:
    return Tensor(values)


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    yield
