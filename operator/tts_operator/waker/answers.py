"""Decides what the waker does with a request: pass it on, hold it, or answer with an error."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime

from tts_operator.calendar.calendar import UnknownTimeZone, time_zone
from tts_operator.waker.tenants import Tenant

STATUS_SECONDS = 10.0
"""Longest time for which a request waits until the waker has read the status of a tenant that is new to it."""
STARTING_RETRY_SECONDS = 5
"""Value of Retry-After while pods start."""
OVERLOAD_RETRY_SECONDS = 10
"""Value of Retry-After where a request was not held to its end."""
WAKING_PREFIX = "/v1/"
"""Paths of the API. A request for another one, such as a probe or a page, neither wakes nor waits."""


@dataclass(frozen=True)
class PassOn:
    """Send the request to a ready pod."""


@dataclass(frozen=True)
class Wait:
    """Wait for a pod."""

    ask: bool
    """Whether to ask the operator for a replica."""


@dataclass(frozen=True)
class Answer:
    """An error that the waker answers itself."""

    status: int
    code: str
    message: str
    retry_after_seconds: int | None = None

    def body(self, request_id: str) -> bytes:
        """The JSON of the error, in OpenAI's form."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {"message": self.message, "type": kind, "param": None, "code": self.code, "request_id": request_id}
        return json.dumps({"error": error}, ensure_ascii=False).encode()


Decision = PassOn | Wait | Answer


def decide(tenant: Tenant | None, path: str, waited_seconds: float, now: datetime, *, ready: bool) -> Decision:
    """Decide on a request that has waited so long. `ready`: whether the tenant has a ready pod."""
    if tenant is None:
        return Wait(ask=False) if waited_seconds < STATUS_SECONDS else unknown()
    if ready:
        return PassOn()
    if tenant.wake_on_request and path.startswith(WAKING_PREFIX):
        return Wait(ask=tenant.at_zero) if waited_seconds < tenant.max_wait_seconds else waited_too_long(tenant)
    return at_zero(tenant, now) if tenant.at_zero else starting()


def unknown() -> Answer:
    """The answer on a port that belongs to no tenant."""
    return Answer(503, "unknown_endpoint", "No TTSTenant has this endpoint now.", OVERLOAD_RETRY_SECONDS)


def starting() -> Answer:
    """The answer of an endpoint whose pods start, where a request does not wait for them."""
    return Answer(503, "starting", "The first replica is starting.", STARTING_RETRY_SECONDS)


def waited_too_long(tenant: Tenant) -> Answer:
    """The answer to a request that was held, and for which no pod became ready."""
    return Answer(
        503,
        "scaled_to_zero" if tenant.at_zero else "starting",
        f"No replica was ready within {tenant.max_wait_seconds} s. Try again in {OVERLOAD_RETRY_SECONDS} s;"
        " spec.schedule.maxWaitSeconds of the TTSTenant sets how long a request waits.",
        OVERLOAD_RETRY_SECONDS,
    )


def at_zero(tenant: Tenant, now: datetime) -> Answer:
    """The answer of an endpoint without replicas, with the time at which it has some."""
    wake = " A request to a path below /v1/ starts one earlier." if tenant.wake_on_request else ""
    if tenant.wakes_at is None:
        return Answer(
            503, "scaled_to_zero", f"The endpoint has no replicas, and its schedule starts none within a year.{wake}"
        )
    seconds = max(1, math.ceil((tenant.wakes_at - now).total_seconds()))
    return Answer(
        503,
        "scaled_to_zero",
        f"The endpoint has no replicas by its schedule until {moment(tenant.wakes_at, tenant.time_zone)}.{wake}",
        seconds,
    )


def moment(at: datetime, zone: str) -> str:
    """An instant in local time and in UTC, for people."""
    utc = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    if zone == "UTC":
        return utc
    try:
        local = at.astimezone(time_zone(zone))
    except UnknownTimeZone:
        return utc
    return f"{local.strftime('%Y-%m-%d %H:%M')} {zone} ({utc})"


def overloaded(what: str) -> Answer:
    """The answer to a request beyond the waker's limits."""
    return Answer(503, "overloaded", f"Too many {what} wait for this endpoint.", OVERLOAD_RETRY_SECONDS)


def malformed_target() -> Answer:
    """The answer to a request of a proxy, which names another server instead of a path."""
    return Answer(400, "invalid_request_target", "The target of a request must be a path that begins with /.")


def head_too_large(max_bytes: int) -> Answer:
    """The answer to headers that are too large to be held."""
    return Answer(
        431,
        "headers_too_large",
        f"The headers have more than {max_bytes} bytes, the most that the waker holds.",
    )


def too_large(max_bytes: int) -> Answer:
    """The answer to a body that is too large to be held."""
    return Answer(413, "body_too_large", f"The body has more than {max_bytes} bytes, the most that the waker holds.")


def unreachable() -> Answer:
    """The answer where a pod ended the connection before it answered."""
    return Answer(502, "replica_unreachable", "The replica ended the connection before it answered.", 1)
