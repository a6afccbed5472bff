"""Errors of requests to the API server.

ClusterError
   ├─ NotLeading     this process may not write now; nothing was sent
   ├─ Unreachable    no response, or one about the server itself: whether a write happened is unknown, retry later
   │    ├─ Overloaded  429: nothing was written; `retry_after_seconds` is what the server asks for
   │    └─ TooLarge    an event of a watch is longer than any object: list again, as another watch brings it again
   └─ Refused        the server rejected the request: `reason` is CamelCase, `message` tells a person what to change
        ├─ NotFound
        ├─ Expired    the resourceVersion of a list or a watch is too old: list again
        ├─ Forbidden  RBAC: the operator may not do this here
        └─ Conflict  the object changed meanwhile, or another manager owns a field
"""

from tts_operator.objects.fields import EXCEEDED_QUOTA
from tts_operator.objects.problem import Problem

# ruff: noqa: N818 - the tree names what happened; "Error" on every leaf would add nothing


class ClusterError(Exception):
    """A request to the API server failed."""


class NotLeading(ClusterError):
    """Another replica may be the leader: the write was not sent."""

    def __init__(self) -> None:
        super().__init__("this replica is not the leader: the write was not sent")


class Unreachable(ClusterError):
    """The server did not respond, or its response is not about the request."""


class Overloaded(Unreachable):
    """The server has too many requests, and did not begin with this one."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TooLarge(Unreachable):
    """An event of a watch is longer than what is read of one."""


class Refused(ClusterError):
    """The server rejected the request."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message

    @property
    def problem(self) -> Problem:
        """Reason and message for a condition."""
        return Problem(self.reason, self.message)


class NotFound(Refused):
    """The object or its kind does not exist."""


class Expired(Refused):
    """The resourceVersion, or the token of a page, is too old."""


class Forbidden(Refused):
    """The operator's account has no permission."""


class Conflict(Refused):
    """A precondition on resourceVersion or UID failed, or another manager owns a field."""


MAX_MESSAGE_CHARACTERS = 512
"""Characters of a server's message that reach a condition: enough for a person, bounded for the status."""
RETRIED_STATUS_CODES = frozenset({401, 429, 502, 503, 504})
"""HTTP statuses about the server, not the request. 500 is not among them: an admission webhook that does not respond
causes it, for one child only."""


def error_of(code: int, status: object, retry_after_seconds: float = 0.0) -> ClusterError:
    """Error for an HTTP status of 400 or above and the Status object in its body."""
    body = status if isinstance(status, dict) else {}
    message = str(body.get("message") or f"the API server responded with HTTP status {code}")[:MAX_MESSAGE_CHARACTERS]
    if code == 429:
        return Overloaded(message, retry_after_seconds)
    if code in RETRIED_STATUS_CODES:
        return Unreachable(message)
    reason = _reason(code, str(body.get("reason") or ""), message)
    if code == 403 and reason == "Forbidden":
        return Forbidden(reason, message)
    return {404: NotFound, 409: Conflict, 410: Expired}.get(code, Refused)(reason, message)


def _reason(code: int, stated: str, message: str) -> str:
    """Quota and admission respond with generic codes: only the message tells them apart."""
    if code == 403 and EXCEEDED_QUOTA in message:
        return "QuotaExceeded"
    if code == 403 and "because it is being terminated" in message:
        return "NamespaceTerminating"
    if "ValidatingAdmissionPolicy" in message or "admission webhook" in message:
        return "AdmissionDenied"
    return stated or {400: "BadRequest", 403: "Forbidden", 404: "NotFound", 409: "Conflict"}.get(code, "Invalid")
