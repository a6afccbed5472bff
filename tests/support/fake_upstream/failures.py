"""Failures that a text may name, as upstream's code has them."""

import ctypes


def fail_as_named(text: str) -> None:
    """Do what the text names, if it is a failure."""
    if text == "crash":
        ctypes.string_at(0)
    if text == "hang":
        ctypes.PyDLL(None).sleep(3600)  # holds the interpreter's lock, as native code may
    if text == "fail":
        raise RuntimeError("CUDA out of memory while it read: secret words")
