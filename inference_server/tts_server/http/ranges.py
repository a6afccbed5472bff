"""Conditional and range requests (RFC 9110, sections 13 and 14): the whole file, a part, or 304."""

import re
from collections.abc import Mapping

from tts_server.http.errors import RangeNotSatisfiable

CONDITIONS = ("range", "if-range", "if-none-match")
"""Request headers that decide how much of a file is sent."""
FACTS = ("content-range", "etag")
"""Response headers that say how much of a file is sent."""
RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
"""One range. Several, and a malformed one, get the whole file, as the RFC allows."""


def is_known(etag: str, headers: Mapping[str, str]) -> bool:
    """Whether `If-None-Match` names the file's ETag: the client has it already."""
    known = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
    return etag in known or "*" in known


def asked_part(length: int, etag: str, headers: Mapping[str, str]) -> slice | None:
    """Return the requested bytes of `length`, or None for all. Raises `RangeNotSatisfiable`."""
    match = RANGE.fullmatch(headers.get("range", "").strip())
    if match is None or headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else length - min(int(last), length)
    end = min(int(last) + 1, length) if first and last else length
    if start >= length:
        raise RangeNotSatisfiable(f"The audio has {length} bytes only.", headers={"Content-Range": f"bytes */{length}"})
    return slice(start, end)
