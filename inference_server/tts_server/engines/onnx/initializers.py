"""Reads the weights of an ONNX graph by name, without the package `onnx`: an adapter needs a few of them, once.

A graph is a protocol buffer (onnx.proto3). Only what leads to the weights is read: ModelProto.graph is field 7,
GraphProto.initializer field 5; of a TensorProto, dims is 1, data_type 2, float_data 4, int32_data 5 (which has smaller
integers too), name 8 and raw_data 9.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _FLOAT_DATA, _INT32_DATA, _NAME, _RAW_DATA = 1, 2, 4, 5, 8, 9
_TYPES: Mapping[int, np.dtype[Any]] = {1: np.dtype("<f4"), 2: np.dtype("u1"), 3: np.dtype("i1"), 10: np.dtype("<f2")}
"""FLOAT, UINT8, INT8 and FLOAT16."""

Weights = NDArray[Any]


class BrokenGraphError(ValueError):
    """The file is no ONNX graph."""


def read_initializers(path: Path, names: Collection[str]) -> dict[str, Weights]:
    """Return the initializers that the graph has of `names`. Raises `BrokenGraphError` and OSError."""
    found: dict[str, Weights] = {}
    data = memoryview(path.read_bytes())
    try:
        for graph in _fields(data, _GRAPH):
            for tensor in _fields(graph, _INITIALIZER):
                name = bytes(next(_fields(tensor, _NAME), memoryview(b""))).decode()
                if name in names:
                    found[name] = _array(tensor)
    except (IndexError, ValueError, StopIteration) as error:
        raise BrokenGraphError(f"{path} is not an ONNX graph, or only a part of one.") from error
    return found


def _array(tensor: memoryview) -> Weights:
    shape: list[int] = []
    small: list[int] = []
    type_, raw = 1, memoryview(b"")
    for number, value in _all_fields(tensor):
        if number == _DIMS:
            shape += _numbers(value)
        elif number == _DATA_TYPE and isinstance(value, int):
            type_ = value
        elif number in {_RAW_DATA, _FLOAT_DATA} and not isinstance(value, int):
            raw = value
        elif number == _INT32_DATA:
            small += _numbers(value)
    if small:
        return np.array(small, np.uint64).astype(_TYPES[type_]).reshape(shape)
    return np.frombuffer(raw, _TYPES[type_]).reshape(shape)


def _numbers(value: int | memoryview) -> list[int]:
    """Return the numbers of a repeated field: each alone, or all packed."""
    if isinstance(value, int):
        return [value]
    numbers, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        numbers.append(number)
    return numbers


def _fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _all_fields(message):
        if number == wanted and not isinstance(value, int):
            yield value


def _all_fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, place = _varint(message, place)
        elif kind in {1, 5}:
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("no protocol buffer")
        if place + size > len(message):
            raise ValueError("it ends early")
        yield tag >> 3, message[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
