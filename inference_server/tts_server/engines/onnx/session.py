"""One ONNX graph in memory: opened with a check, run so that another thread can end the run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_server.errors import EngineError, EngineUnavailable

THREADS_VARIABLE = "OMP_NUM_THREADS"
"""The variable by which a worker learns how many threads it may use; ONNX Runtime itself would take every core."""
ERRORS_ONLY = 3
"""Log level of ONNX Runtime: its warnings are advice to those who export graphs."""


class RunCancelled(Exception):  # noqa: N818 - names what happened, as the tree in errors.py does
    """`GraphSession.cancel` ended the run."""


class GraphSession:
    """Runs one graph on the CPU, one run at a time."""

    def __init__(self, path: Path, inputs: Sequence[str]) -> None:
        """Open `path`. Raises `EngineUnavailable` if it is no graph, or one without exactly the inputs named."""
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineUnavailable("ONNX Runtime is not installed. Install ttsfleet[server].") from error
        if not path.is_file():
            raise EngineUnavailable(f"There is no file {path}.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get(THREADS_VARIABLE, "1"))
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common class but this one
            raise EngineUnavailable(f"{path} is not an ONNX graph, or only a part of one.") from error
        found = [argument.name for argument in self._session.get_inputs()]
        if sorted(found) != sorted(inputs):
            raise EngineUnavailable(
                f"The graph {path} has the inputs {', '.join(found)}; this family has {', '.join(inputs)}."
            )
        self._new_run_options = onnxruntime.RunOptions
        self._run_options = self._new_run_options()
        self._cancelled = False

    def begin(self) -> None:
        """Forget a cancellation: the runs that follow belong to another utterance."""
        if self._cancelled:
            self._run_options, self._cancelled = self._new_run_options(), False

    def cancel(self) -> None:
        """End the current run, and those until `begin`. May be called from another thread."""
        self._cancelled = True
        self._run_options.terminate = True

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Return the graph's outputs. Raises `RunCancelled`, and `EngineError` if the graph cannot compute."""
        if self._cancelled:
            raise RunCancelled
        try:
            outputs: list[NDArray[np.float32]] = self._session.run(None, dict(inputs), self._run_options)
        except Exception as error:
            if self._cancelled:
                raise RunCancelled from None
            # Its message may name values of the text's tokens.
            raise EngineError(f"The graph failed: {type(error).__name__}.") from error
        return outputs
