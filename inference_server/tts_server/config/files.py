"""Reads and validates a configuration file."""

import json
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

LARGEST_FILE_BYTES = 4 * 1024 * 1024
"""A ConfigMap holds at most 1 MiB."""

M = TypeVar("M", bound=BaseModel)


class BrokenFile(ValueError):  # noqa: N818 - it says what happened
    """An invalid file; the message says where and why, and quotes nothing of its content."""


class FailedForNow(BrokenFile):
    """A file that cannot be read or applied for a reason that may pass: try again, though it has not changed."""


def read_model(path: Path, model: type[M]) -> M:
    """Read `path`, JSON or YAML, as `model`. Raises `BrokenFile`, and `FailedForNow` if the system cannot read it."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise BrokenFile(f"{path} is larger than {LARGEST_FILE_BYTES} bytes")
        text = path.read_text("utf-8")
        # Validated as JSON, which turns lists into tuples and converts nothing else.
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        return model.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise BrokenFile(f"{path}: {_first(error)}") from None
    except OSError as error:
        raise FailedForNow(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, BrokenFile):
            raise
        raise BrokenFile(f"{path} is not valid {'JSON' if path.suffix == '.json' else 'YAML'}{_where(error)}") from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = "unknown field" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{'.'.join(map(str, first['loc'])) or 'the document'}: {message}{more}"


def _where(error: Exception) -> str:
    """Return where the parser stopped, if it reports the line."""
    if isinstance(error, json.JSONDecodeError):
        return f": see line {error.lineno}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f": see line {error.problem_mark.line + 1}"
    return ""
