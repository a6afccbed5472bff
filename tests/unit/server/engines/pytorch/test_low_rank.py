from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from tts_server.engines.pytorch.low_rank import Adapters, Change, Matrix, placed
from tts_server.errors import EngineUnavailable


class Weights:
    def __init__(self, **weights: Matrix) -> None:
        self.values = {name.replace("__", "."): values for name, values in weights.items()}

    def names(self) -> Iterable[str]:
        return self.values

    def read(self, name: str) -> Matrix:
        return self.values[name].copy()

    def write(self, name: str, values: Matrix) -> None:
        self.values[name] = values


def ones(*shape: int) -> Matrix:
    return np.ones(shape, np.float32)


def change(outputs: int = 2, inputs: int = 3, scale: float = 1.0, *, transposed: bool = False) -> Change:
    return Change(ones(1, inputs), ones(outputs, 1), scale, transposed)


def test_a_change_is_scaled_and_transposed() -> None:
    assert change(scale=0.5).values().tolist() == [[0.5] * 3] * 2
    assert change(transposed=True).values().shape == (3, 2)


def test_an_adapter_changes_the_weight_whose_name_ends_with_its_path() -> None:
    weights = Weights(llm__model__q__weight=ones(2, 3), llm__model__qq__weight=ones(2, 3))
    assert placed("a", {"model.q": change()}, weights).keys() == {"llm.model.q.weight"}


@pytest.mark.parametrize(
    ("path", "complaint"),
    [("model.k", "of which the model has 0"), ("q", "of which the model has 2"), ("a.q", r"of shape \(2, 3\)")],
)
def test_an_adapter_of_another_model_is_refused(path: str, complaint: str) -> None:
    weights = Weights(a__q__weight=ones(3, 3), b__q__weight=ones(2, 3))
    with pytest.raises(EngineUnavailable, match=complaint):
        placed("legal", {path: change()}, weights)


def test_a_selection_leaves_nothing_of_the_last_one() -> None:
    weights = Weights(q__weight=ones(2, 3), k__weight=ones(2, 3))
    adapters = Adapters(weights, {"both": {"q": change(), "k": change()}, "one": {"q": change(scale=2.0)}})
    adapters.select("both")
    assert (weights.values["q.weight"] == 2).all()
    adapters.select("one")
    assert (weights.values["q.weight"] == 3).all()
    assert (weights.values["k.weight"] == 1).all()
    adapters.select(None)
    assert (weights.values["q.weight"] == 1).all()
