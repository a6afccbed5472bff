"""Numeric precisions."""

from enum import StrEnum


class Precision(StrEnum):
    """Numeric precision; lower case because requests name it."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
