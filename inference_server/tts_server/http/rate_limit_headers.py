"""Writes the headers about limits: OpenAI's `x-ratelimit-*`, and `RateLimit` with `RateLimit-Policy`.

The latter two are those of draft-ietf-httpapi-ratelimit-headers-10: each limit is an item with its name in
`spec.quota`; `r` is what is left, `t` the seconds until some of it comes back, `q` the limit, `w` its window in
seconds, `qu` what is counted where that is not requests.
"""

import math
from collections.abc import Mapping

from tts_server.quota.admission import AdmittedRequest
from tts_server.quota.limits import (
    AUDIO_SECONDS_PER_DAY,
    CHARACTERS_PER_DAY,
    CLIENT_REQUESTS_PER_MINUTE,
    CONCURRENT_REQUESTS,
    REQUESTS_PER_DAY,
    REQUESTS_PER_MINUTE,
    LimitStatus,
)

Headers = list[tuple[bytes, bytes]]

POLICY: Mapping[str, str] = {
    REQUESTS_PER_MINUTE: ";w=60",
    CLIENT_REQUESTS_PER_MINUTE: ";w=60",
    CONCURRENT_REQUESTS: ';qu="concurrent-requests"',
    REQUESTS_PER_DAY: ";w=86400",
    CHARACTERS_PER_DAY: ';w=86400;qu="characters"',
    AUDIO_SECONDS_PER_DAY: ';w=86400;qu="audio-seconds"',
}


def rate_limit_headers(admitted: AdmittedRequest | None) -> Headers:
    """Return the headers of a request that was admitted."""
    if admitted is None or not admitted.limit_status:
        return []
    return [*limit_headers(admitted.limit_status), *_openai_headers(admitted.limit_status)]


def limit_headers(limit_status: LimitStatus) -> Headers:
    """Return `RateLimit` and `RateLimit-Policy` for every limit that is set."""
    remaining = ", ".join(item(name, one.remaining, one.resets_after_seconds) for name, one in limit_status.items())
    policy = ", ".join(policy_item(name, one.limit) for name, one in limit_status.items())
    return [(b"ratelimit", remaining.encode()), (b"ratelimit-policy", policy.encode())]


def item(name: str, remaining: int, seconds: float) -> str:
    """Write one limit of `RateLimit`; seconds are rounded up."""
    return f'"{name}";r={remaining};t={math.ceil(seconds)}'


def policy_item(name: str, limit: int) -> str:
    """Write one limit of `RateLimit-Policy`."""
    return f'"{name}";q={limit}{POLICY.get(name, "")}'


def _openai_headers(limit_status: LimitStatus) -> Headers:
    minute = limit_status.get(REQUESTS_PER_MINUTE)
    if minute is None:
        return []
    return [
        (b"x-ratelimit-limit-requests", str(minute.limit).encode()),
        (b"x-ratelimit-remaining-requests", str(minute.remaining).encode()),
        (b"x-ratelimit-reset-requests", f"{minute.resets_after_seconds:.3f}s".encode()),
    ]
