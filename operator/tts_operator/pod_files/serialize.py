"""Stable JSON text and its digest."""

import hashlib
import json

from pydantic import BaseModel


def to_json(config: BaseModel) -> str:
    """JSON with sorted keys and without unset fields: equal settings give equal text."""
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
    """Short SHA-256 over the parts, 16 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
