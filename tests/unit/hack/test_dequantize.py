"""A dequantized graph has the int8 graph's weights as floats, and none of its integer operations."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from hack.dequantize import dequantize
from tests.support.tiny_graphs import quantized_product


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_product_with_the_weights_stays_the_same(precision: str, tmp_path: Path) -> None:
    source, weights = quantized_product(tmp_path)
    target = tmp_path / "floats.onnx"
    dequantize(source, target, precision)
    graph = onnx.load(target).graph
    assert {node.op_type for node in graph.node} <= {"MatMul", "Cast"}
    (kept,) = [numpy_helper.to_array(each) for each in graph.initializer]
    np.testing.assert_allclose(kept, weights, rtol=1e-3)
    x = np.linspace(-1, 1, weights.shape[0], dtype=np.float32).reshape(1, -1)
    (y,) = onnxruntime.InferenceSession(target).run(None, {"x": x})
    np.testing.assert_allclose(y, x @ weights, rtol=2e-3, atol=2e-3)
