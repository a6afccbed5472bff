"""Rate limit headers: `RateLimit` and `RateLimit-Policy`, and OpenAI's `x-ratelimit-*`.

The former are those of draft-ietf-httpapi-ratelimit-headers-10. Each limit is an item, named as in `spec.quota`:
`r` is the rest, `t` the seconds until some of it is available again, `q` the limit, `w` its window in seconds, `qu`
the unit if that is not requests.
"""

import math
from collections.abc import Mapping
from functools import lru_cache

from tts_server.errors import QuotaExceeded
from tts_server.quota.admission import AdmittedRequest
from tts_server.quota.limit_table import BY_NAME
from tts_server.quota.limits import LimitStatus

Headers = list[tuple[bytes, bytes]]


def rate_limit_headers(admitted: AdmittedRequest | None) -> Headers:
    """The headers of a reply to an admitted request."""
    if admitted is None or not admitted.limit_status:
        return []
    return [*limit_headers(admitted.limit_status), *_openai_headers(admitted.limit_status)]


def limit_headers(limit_status: LimitStatus) -> Headers:
    """`RateLimit` and `RateLimit-Policy` with every limit that is set."""
    rest = ", ".join(_item(name, one.remaining, one.resets_after_seconds) for name, one in limit_status.items())
    policy = ", ".join(_policy_item(name, one.limit) for name, one in limit_status.items())
    return [(b"ratelimit", rest.encode()), (b"ratelimit-policy", policy.encode())]


def refusal_headers(error: QuotaExceeded, retry_after_seconds: int) -> Mapping[str, str]:
    """The headers of a 429: the limit that refused the request."""
    headers = {"RateLimit": _item(error.limit, error.remaining, retry_after_seconds)}
    if error.allowed is not None:
        headers["RateLimit-Policy"] = _policy_item(error.limit, error.allowed)
    limit = BY_NAME.get(error.limit)
    if limit is not None and limit.openai:
        if error.allowed is not None:
            headers[f"x-ratelimit-limit-{limit.openai}"] = str(error.allowed)
        headers[f"x-ratelimit-remaining-{limit.openai}"] = "0"
        headers[f"x-ratelimit-reset-{limit.openai}"] = f"{retry_after_seconds}s"
    return headers


def _item(name: str, remaining: int, seconds: float) -> str:
    return f'"{name}";r={remaining};t={math.ceil(seconds)}'


@lru_cache(maxsize=256)
def _policy_item(name: str, allowed: int) -> str:
    limit = BY_NAME.get(name)
    return f'"{name}";q={allowed}{limit.policy if limit is not None else ""}'


def _openai_headers(limit_status: LimitStatus) -> Headers:
    headers: Headers = []
    for name, one in limit_status.items():
        if word := BY_NAME[name].openai.encode():
            headers += [
                (b"x-ratelimit-limit-" + word, str(one.limit).encode()),
                (b"x-ratelimit-remaining-" + word, str(one.remaining).encode()),
                (b"x-ratelimit-reset-" + word, f"{one.resets_after_seconds:.3f}s".encode()),
            ]
    return headers
