"""Loads the code of another project from a mounted checkout, and says in one sentence what is missing.

The server's own packages and those of the project must not meet: the worker runs with an interpreter that has only the
project's requirements (`WorkerCommand.python`), so everything here needs the standard library alone.
"""

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tts_server.errors import EngineUnavailable

GUIDE = "docs/how-to/torch-engines.md"
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Environment of the libraries: none downloads weights that the model directory lacks, and none draws progress bars."""


@dataclass(frozen=True)
class Project:
    """A project whose code an engine runs."""

    name: str
    """Name of the engine, for messages."""
    repository: str
    package: str
    """Name of its top-level Python package."""
    submodules: tuple[str, ...] = ()
    """Folders of the checkout, beside its root, that hold packages of other projects."""


def use_checkout(project: Project, directory: Path | None) -> None:
    """Let Python find the project's packages in `directory`; None: they are installed. Raises `EngineUnavailable`."""
    os.environ.update(OFFLINE)
    if directory is None:
        return
    if not (directory / project.package).is_dir():
        raise EngineUnavailable(
            f"There is no folder {directory / project.package}: the code directory must be a checkout of "
            f"{project.repository}."
        )
    for submodule in project.submodules:
        if not any(_entries(directory / submodule)):
            raise EngineUnavailable(
                f"The folder {directory / submodule} is missing or empty: clone {project.repository} with "
                "--recurse-submodules."
            )
    wanted = [str(directory), *(str(directory / submodule) for submodule in project.submodules)]
    sys.path[:0] = [path for path in wanted if path not in sys.path]


def require_torch(project: Project, *, cuda_for: str | None) -> ModuleType:
    """Return PyTorch. `cuda_for` names the option that needs a GPU. Raises `EngineUnavailable` without either."""
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise EngineUnavailable(
            f"PyTorch is not installed for {sys.executable}: engine {project.name} needs the image of its own, or an "
            f"interpreter with its requirements ({GUIDE})."
        ) from error
    if cuda_for is not None and not torch.cuda.is_available():
        raise EngineUnavailable(
            f"{cuda_for} of engine {project.name} needs a CUDA device, and PyTorch finds none: choose precision fp32, "
            "or give the pod a GPU."
        )
    return torch


def import_code(project: Project, module: str) -> ModuleType:
    """Import a module of the project. Raises `EngineUnavailable` that names the package that is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == project.package:
            raise EngineUnavailable(
                f"There is no Python module {error.name}: set the code directory to a checkout of {project.repository} "
                f"({GUIDE})."
            ) from error
        raise EngineUnavailable(
            f"The code of {project.name} needs the Python package {missing}: install its requirements for "
            f"{sys.executable} ({GUIDE})."
        ) from error
    finally:
        # Upstream's modules configure logging at import, and log the texts that they read.
        logging.disable(logging.WARNING)


def require_files(directory: Path, names: Iterable[str], what: str) -> None:
    """Raise `EngineUnavailable` for the first file that is missing or empty in the model directory."""
    if not directory.is_dir():
        raise EngineUnavailable(f"There is no folder {directory}: mount the weights of {what} there.")
    for name in names:
        path = directory / name
        if not path.is_file() or path.stat().st_size == 0:
            raise EngineUnavailable(f"The file {path} is missing or empty: it belongs to the weights of {what}.")


def accepted(
    call: Callable[..., Any], wanted: Mapping[str, Any], optional: Mapping[str, Any], who: str
) -> dict[str, Any]:
    """Return the keyword arguments for `call`: all of `wanted`, and those of `optional` that it has.

    Raises `EngineUnavailable` for a wanted one that this version of the project does not have.
    """
    known = inspect.signature(call).parameters
    for name in wanted:
        if name not in known:
            raise EngineUnavailable(f"{who} has no option {name}: leave it out, or mount a version that has it.")
    return {**wanted, **{name: value for name, value in optional.items() if name in known}}


def load(make: Callable[..., Any], options: Mapping[str, Any], directory: Path) -> Any:
    """Construct upstream's class. Raises `EngineUnavailable` with the first line of any error: it has read no text."""
    try:
        return make(**options)
    except FileNotFoundError as error:
        raise EngineUnavailable(f"There is no file {error.filename}, which {make.__name__} reads.") from error
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")[:300]
        raise EngineUnavailable(
            f"{make.__name__} cannot load {directory}: {type(error).__name__}{f': {reason}' if reason else ''}"
        ) from error


def _entries(folder: Path) -> Iterable[Path]:
    return folder.iterdir() if folder.is_dir() else ()
