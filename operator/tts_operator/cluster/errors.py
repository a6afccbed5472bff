"""What the API server can answer instead of doing it.

ClusterError
   ├─ NotLeading     this process may not write now; nothing was sent
   ├─ Unreachable    no answer, or the server is in trouble: whether a write happened is unknown, try again later
   └─ Refused        the server said no: `reason` is CamelCase, `message` tells a person what to change
        ├─ NotFound
        └─ Conflict  somebody else wrote first, or owns a field
"""

from tts_operator.objects.fields import EXCEEDED_QUOTA
from tts_operator.objects.problem import Problem

# ruff: noqa: N818 - the tree names what happened; "Error" on every leaf would say nothing


class ClusterError(Exception):
    """A request to the API server came to nothing."""


class NotLeading(ClusterError):
    """Another operator may be writing: the write was not sent."""

    def __init__(self) -> None:
        super().__init__("this operator does not lead: nothing was written")


class Unreachable(ClusterError):
    """No answer, or none that says anything about the request."""


class Refused(ClusterError):
    """The server understood, and declined."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message

    @property
    def failure(self) -> Problem:
        """The same, for the tenant's conditions."""
        return Problem(self.reason, self.message)


class NotFound(Refused):
    """There is no such object, or no such kind."""


class Conflict(Refused):
    """A precondition on version or UID does not hold, or another manager owns a field."""


LONGEST_MESSAGE = 512
"""Characters of a server's message that reach a condition: enough for a person, bounded for the status."""


SAYS_NOTHING_ABOUT_THE_REQUEST = frozenset({401, 429, 502, 503, 504})
"""Not 500: that is also what an admission webhook which does not answer looks like, and it stops one child only."""


def error_of(code: int, status: object) -> ClusterError:
    """What an HTTP status and the Status object in its body mean."""
    body = status if isinstance(status, dict) else {}
    message = str(body.get("message") or f"the API server answered {code}")[:LONGEST_MESSAGE]
    if code in SAYS_NOTHING_ABOUT_THE_REQUEST:
        return Unreachable(message)
    reason = _reason(code, str(body.get("reason") or ""), message)
    return {404: NotFound, 409: Conflict}.get(code, Refused)(reason, message)


def _reason(code: int, stated: str, message: str) -> str:
    """Quota and admission answer with general codes; what happened is only in the message."""
    if code == 403 and EXCEEDED_QUOTA in message:
        return "QuotaExceeded"
    if code == 403 and "because it is being terminated" in message:
        return "NamespaceTerminating"
    if "ValidatingAdmissionPolicy" in message or "admission webhook" in message:
        return "AdmissionDenied"
    return stated or {400: "BadRequest", 403: "Forbidden", 404: "NotFound", 409: "Conflict"}.get(code, "Invalid")
