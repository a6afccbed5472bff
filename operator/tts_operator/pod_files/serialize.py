"""Stable JSON text and its digest."""

import hashlib
import json

from pydantic import BaseModel


def text(config: BaseModel) -> str:
    """JSON that is the same for the same meaning, whatever order it was built in."""
    return (
        json.dumps(
            config.model_dump(mode="json", by_alias=True, exclude_none=True),
            ensure_ascii=False,
            indent=1,
            sort_keys=True,
        )
        + "\n"
    )


def digest(*parts: str) -> str:
    """Short, and different whenever a part is."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
