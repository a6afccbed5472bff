"""One ONNX graph in memory: opened with a check, run so that another thread can end the run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_server.errors import EngineError, EngineUnavailable

# Its wheels for Linux report use to their maker from 1.32 on: they keep a file in the user's cache, a thread, and send.
# The variable has to be there before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

THREADS_VARIABLE = "OMP_NUM_THREADS"
"""The variable by which a worker learns how many threads it may use; ONNX Runtime itself would take every core."""
ERRORS_ONLY = 3
"""Log level of ONNX Runtime: its warnings are advice to those who export graphs."""
_LEVELS = {
    "Disabled": "ORT_DISABLE_ALL",
    "Basic": "ORT_ENABLE_BASIC",
    "Extended": "ORT_ENABLE_EXTENDED",
    "All": "ORT_ENABLE_ALL",
}
_PROVIDERS = {"CPU": "CPUExecutionProvider", "CUDA": "CUDAExecutionProvider"}
_ARENAS = ("Returned", "Kept", "Off")


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a graph is run. The names are those of `server.json` (`OnnxSessionConfig`), which has the descriptions."""

    graph_optimization_level: str = "All"
    device: str = "CPU"
    memory_arena: str = "Returned"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("graphOptimizationLevel", self.graph_optimization_level, tuple(_LEVELS)),
            ("device", self.device, tuple(_PROVIDERS)),
            ("memoryArena", self.memory_arena, _ARENAS),
        ):
            if value not in allowed:
                raise EngineUnavailable(
                    f"sessionOptions.{name} of engine Onnx is {value}; it must be one of {', '.join(allowed)}."
                )


DEFAULT_OPTIONS = SessionOptions()


class RunCancelled(Exception):  # noqa: N818 - names what happened, as the tree in errors.py does
    """`GraphSession.cancel` ended the run."""


class GraphSession:
    """Runs one graph on one device, one run at a time."""

    def __init__(
        self,
        path: Path,
        inputs: Sequence[str],
        options: SessionOptions = DEFAULT_OPTIONS,
        replaced: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Open `path`; `replaced` are weights that take the place of those of the same name in the graph.

        Raises `EngineUnavailable` if it is no graph, or one without exactly the inputs named, or the device is missing.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineUnavailable("ONNX Runtime is not installed. Install ttsfleet[server].") from error
        if not path.is_file():
            raise EngineUnavailable(f"There is no file {path}.")
        provider = _PROVIDERS[options.device]
        if provider not in onnxruntime.get_available_providers():
            raise EngineUnavailable(
                f"sessionOptions.device is {options.device}, but the installed ONNX Runtime cannot use one: "
                "install onnxruntime-gpu instead of onnxruntime, or set device to CPU."
            )
        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = int(os.environ.get(THREADS_VARIABLE, "1"))
        session_options.inter_op_num_threads = 1
        session_options.log_severity_level = ERRORS_ONLY
        session_options.graph_optimization_level = getattr(
            onnxruntime.GraphOptimizationLevel, _LEVELS[options.graph_optimization_level]
        )
        session_options.enable_cpu_mem_arena = options.memory_arena != "Off"
        # Kept: ONNX Runtime refers to the memory of these, and to the objects that own it.
        self._replaced = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(weights) for name, weights in (replaced or {}).items()
        }
        for name, value in self._replaced.items():
            session_options.add_initializer(name, value)
        try:
            self._session = onnxruntime.InferenceSession(path, session_options, providers=[provider])
        except Exception as error:  # ONNX Runtime's exceptions have no common class but this one
            raise EngineUnavailable(f"{path} is not an ONNX graph, or only a part of one.") from error
        if provider not in self._session.get_providers():  # it falls back to the CPU without an error
            raise EngineUnavailable(f"sessionOptions.device is {options.device}, but no such device can be used here.")
        self._check(path, inputs)
        self._new_run_options = onnxruntime.RunOptions
        self._returns_memory = options.memory_arena == "Returned" and options.device == "CPU"
        self._run_options = self._options_of_run()
        self._cancelled = False

    def begin(self) -> None:
        """Forget a cancellation: the runs that follow belong to another utterance."""
        if self._cancelled:
            self._run_options, self._cancelled = self._options_of_run(), False

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

    def _check(self, path: Path, inputs: Sequence[str]) -> None:
        found = [argument.name for argument in self._session.get_inputs()]
        if sorted(found) != sorted(inputs):
            raise EngineUnavailable(
                f"The graph {path} has the inputs {', '.join(found)}; this family has {', '.join(inputs)}."
            )

    def _options_of_run(self) -> Any:
        options = self._new_run_options()
        if self._returns_memory:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options
