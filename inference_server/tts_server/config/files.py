"""Reads and validates a configuration file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

LARGEST_FILE_BYTES = 4 * 1024 * 1024
"""A ConfigMap holds at most 1 MiB."""

MOST_MISTAKES = 50
"""Most mistakes of a file that are listed."""

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
        raise BrokenFile(f"{path}: {mistakes(error)}") from None
    except OSError as error:
        raise FailedForNow(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, BrokenFile):
            raise
        raise BrokenFile(f"{path} is not valid {'JSON' if path.suffix == '.json' else 'YAML'}{_where(error)}") from None


def mistakes(error: ValidationError) -> str:
    """List every mistake as `field: what is wrong with it`."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    listed = [
        f"{'.'.join(map(str, each['loc'])) or 'the document'}: {_sentence(each)}"
        for each in found
        if not _follows(each, found)
    ]
    more = f"; {len(listed) - MOST_MISTAKES} more" if len(listed) > MOST_MISTAKES else ""
    return "; ".join(listed[:MOST_MISTAKES]) + more


def _follows(mistake: ErrorDetails, all_: Sequence[ErrorDetails]) -> bool:
    """Whether a list is too short only because the mistakes in its entries leave none of them."""
    place = mistake["loc"]
    inside = (each for each in all_ if len(each["loc"]) > len(place) and each["loc"][: len(place)] == place)
    return mistake["type"] == "too_short" and next(inside, None) is not None


def _sentence(mistake: ErrorDetails) -> str:
    match mistake["type"]:
        case "extra_forbidden":
            return "unknown field, remove it or correct its name"
        case "missing":
            return "the field is required, add it"
        case _:
            return mistake["msg"].replace("Input should", "it should").removeprefix("Value error, ")


def _where(error: Exception) -> str:
    """Return where the parser stopped, if it reports the line."""
    if isinstance(error, json.JSONDecodeError):
        return f": see line {error.lineno}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f": see line {error.problem_mark.line + 1}"
    return ""
