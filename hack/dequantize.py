"""Makes an fp32 or fp16 graph of a dynamically quantized one: `python -m hack.dequantize IN OUT --precision fp32`.

The weights of the new graph are those of the int8 graph, as floats: it costs what fp32 or fp16 costs, but its weights
are no better than int8's; only activations are not rounded any more. It is for graphs by ONNX Runtime's
`quantize_dynamic`, which replaces

    MatMul(x, W)   by  Mul(Cast(MatMulInteger(DynamicQuantizeLinear(x), Wq)), x_scale * W_scale)
    Conv(x, W, b)  by  Mul(Cast(Add(ConvInteger(DynamicQuantizeLinear(x), Wq), bq)), x_scale * W_scale)
    LSTM           by  DynamicQuantizeLSTM

The package `onnx` is needed for this step only: servers run graphs without it.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Node = Any
"""A node is an `onnx.NodeProto`, whose fields its stubs do not describe."""
FLOAT = onnx.TensorProto.FLOAT


class Dequantizer:
    """Rewrites one graph."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._producers: dict[str, Node] = {}
        self._users: dict[str, list[Node]] = {}
        for node in graph.node:
            self._producers |= dict.fromkeys(node.output, node)
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._replaced: dict[int, Node] = {}
        """New nodes by the identity of the nodes whose place they take."""
        self._dropped: set[int] = set()
        self._added: dict[tuple[tuple[int, ...], bytes], Any] = {}
        """New initializers by shape and content: one that several nodes use is kept once."""

    def run(self) -> None:
        """Rewrite the graph in place."""
        rewriters = {
            "MatMulInteger": self._matrix_product, "ConvInteger": self._convolution, "DynamicQuantizeLSTM": self._lstm,
        }  # fmt: skip
        for node in self._graph.node:
            if (rewrite := rewriters.get(node.op_type)) is not None:
                rewrite(node)
        nodes = [self._replaced.get(id(node), node) for node in self._graph.node if id(node) not in self._dropped]
        self._keep(list(self._live(nodes)))

    def _matrix_product(self, node: Node) -> None:
        cast = self._only_user(node.output[0], "Cast")
        product = self._only_user(cast.output[0], "Mul")
        weights = self._weights(node) * self._weight_scale(product, cast.output[0])
        name = self._initializer(f"{node.name}_weights", weights)
        inputs = [self._float_input(node), name]
        self._replaced[id(product)] = helper.make_node("MatMul", inputs, [product.output[0]], name=_plain(node))
        self._dropped |= {id(node), id(cast)}

    def _convolution(self, node: Node) -> None:
        after, bias = self._users[node.output[0]][0], []
        if after.op_type == "Add":
            (quantized_bias,) = [name for name in after.input if name != node.output[0]]
            bias = [self._float_bias(quantized_bias)]
            self._dropped.add(id(after))
            after = self._only_user(after.output[0], "Cast")
        product = self._only_user(after.output[0], "Mul")
        weights = self._weights(node) * self._weight_scale(product, after.output[0])
        inputs = [self._float_input(node), self._initializer(f"{node.name}_weights", weights), *bias]
        replacement = helper.make_node("Conv", inputs, [product.output[0]], name=_plain(node))
        replacement.attribute.extend(node.attribute)
        self._replaced[id(product)] = replacement
        self._dropped |= {id(node), id(after)}

    def _lstm(self, node: Node) -> None:
        x, w, r, bias, lengths, hidden, cell, _, w_scale, w_zero, r_scale, r_zero = node.input
        inputs = [
            x,
            self._initializer(f"{node.name}_W", self._lstm_weights(w, w_scale, w_zero)),
            self._initializer(f"{node.name}_R", self._lstm_weights(r, r_scale, r_zero)),
            bias, lengths, hidden, cell,
        ]  # fmt: skip
        replacement = helper.make_node("LSTM", inputs, list(node.output), name=_plain(node))
        replacement.attribute.extend(each for each in node.attribute if each.name in {"direction", "hidden_size"})
        self._replaced[id(node)] = replacement

    def _lstm_weights(self, weights: str, scale: str, zero: str) -> NDArray[np.float32]:
        """Return the weights as LSTM has them: (directions, gates, columns), from (directions, columns, gates)."""
        quantized = self._array(weights).astype(np.float32)

        def broadcast(values: NDArray[Any]) -> NDArray[np.float32]:
            return values.astype(np.float32).reshape(quantized.shape[0], 1, -1)

        floats = (quantized - broadcast(self._array(zero))) * broadcast(self._array(scale))
        return floats.transpose(0, 2, 1)

    def _weights(self, node: Node) -> NDArray[np.float32]:
        weights, zero = self._array(node.input[1]), self._array(node.input[3])
        if node.op_type == "ConvInteger" and zero.size > 1:
            zero = zero.reshape(-1, *(1,) * (weights.ndim - 1))
        return weights.astype(np.float32) - zero.astype(np.float32)

    def _weight_scale(self, product: Node, integers: str) -> NDArray[np.float32]:
        """Return the constant factor of the scales' product, which multiplies the integers."""
        (scales,) = [name for name in product.input if name != integers]
        constant = next(name for name in self._producers[scales].input if name in self._initializers)
        return self._array(constant).astype(np.float32)

    def _float_bias(self, name: str) -> str:
        """Return the float bias from which a quantized one is computed."""
        while name not in self._initializers or self._initializers[name].data_type != FLOAT:
            node = self._producers[name]
            floats = [each for each in node.input if each in self._initializers and self._is_vector(each)]
            name = floats[0] if floats else next(each for each in node.input if each in self._producers)
        return name

    def _is_vector(self, name: str) -> bool:
        tensor = self._initializers[name]
        return tensor.data_type == FLOAT and bool(tensor.dims)

    def _float_input(self, node: Node) -> str:
        return str(self._producers[node.input[0]].input[0])

    def _array(self, name: str) -> NDArray[Any]:
        return numpy_helper.to_array(self._initializers[name])

    def _only_user(self, name: str, operation: str) -> Node:
        (user,) = self._users[name]
        if user.op_type != operation:
            raise ValueError(
                f"{name} is used by {user.op_type}, not by {operation}: this is no graph by quantize_dynamic"
            )
        return user

    def _initializer(self, name: str, values: NDArray[np.float32]) -> str:
        values = np.ascontiguousarray(values, np.float32)
        tensor = self._added.setdefault((values.shape, values.tobytes()), numpy_helper.from_array(values, name))
        return str(tensor.name)

    def _live(self, nodes: list[Node]) -> Iterator[Node]:
        """Yield the nodes from which the graph's outputs follow: scales and quantizations are not needed any more."""
        producers = {name: node for node in nodes for name in node.output}
        live: set[int] = set()
        needed = [output.name for output in self._graph.output]
        while needed:
            node = producers.get(needed.pop())
            if node is not None and id(node) not in live:
                live.add(id(node))
                needed += node.input
        return (node for node in nodes if id(node) in live)

    def _keep(self, nodes: list[Node]) -> None:
        used = {name for node in nodes for name in node.input}
        kept = [each for each in (*self._graph.initializer, *self._added.values()) if each.name in used]
        for field, content in (
            (self._graph.node, nodes),
            (self._graph.initializer, kept),
            (self._graph.value_info, []),
        ):
            del field[:]
            field.extend(content)


def _plain(node: Node) -> str:
    return str(node.name).replace("_quant", "")


def dequantize(source: Path, target: Path, precision: str) -> None:
    """Write the graph `source` as `target`, in fp32 or fp16."""
    model = onnx.load(source)
    Dequantizer(model.graph).run()
    if precision == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True)
    onnx.save(model, target)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hack.dequantize", description=__doc__)
    parser.add_argument("source", type=Path, help="The int8 graph.")
    parser.add_argument("target", type=Path, help="The graph to write.")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")
    options = parser.parse_args(arguments)
    dequantize(options.source, options.target, options.precision)
    print(f"{options.target}: {options.target.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
