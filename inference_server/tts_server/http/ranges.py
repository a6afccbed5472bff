"""What of a file a caller wants: all of it, a part, or none because it has it already (RFC 9110, 13 and 14)."""

import re
from collections.abc import Mapping

from tts_server.http.errors import HTTPError

CONDITIONS = ("range", "if-range", "if-none-match")
"""Headers of a request that decide how much of the audio is the answer."""
FACTS = ("content-range", "etag")
"""Headers of an answer that say so."""
RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
"""One range. Several, and what is none, are answered with all of it, as every server may."""


def is_known(etag: str, headers: Mapping[str, str]) -> bool:
    """Whether the caller has it already: `If-None-Match`."""
    known = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
    return etag in known or "*" in known


def asked_part(length: int, etag: str, headers: Mapping[str, str]) -> slice | None:
    """Which of so many bytes are asked for; None: all of them. Raises `HTTPError` 416 where there are no such bytes."""
    found = RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or headers.get("if-range", etag) != etag:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else length - min(int(last), length)
    end = min(int(last) + 1, length) if first and last else length
    if start >= length:
        raise HTTPError(
            416, f"All of it is {length} bytes.", code="range_not_satisfiable",
            headers={"Content-Range": f"bytes */{length}"},
        )  # fmt: skip
    return slice(start, end)
