"""All errors that the server raises on purpose.

TTSError
   ├─ RequestError          the request must be changed: `param` names the field
   │    ├─ InvalidParameter     a value is out of range or of another type
   │    ├─ TextRejected         the text is empty, too long, or has an unclosed tag
   │    ├─ ModelNotFound        the tenant has no such model
   │    ├─ VoiceNotFound        the model has no such voice
   │    ├─ PrecisionNotAllowed  the model does not allow the precision
   │    ├─ FormatUnavailable    the format's encoder is not installed
   │    └─ AudioGone            the link has expired, or its audio was deleted
   ├─ Unauthenticated       the credential is missing or unknown
   │    ├─ InvalidToken         the access token is malformed, or for another audience
   │    │    └─ TokenExpired         the access token, or its API key, has expired
   │    ├─ InvalidGrant         the refresh token is unknown, used or expired
   │    └─ TooManyFailures      the address has sent too many bad credentials
   ├─ PermissionDenied      the credential is valid, but does not permit this
   ├─ Refused               the request is valid, but must be sent again later
   │    ├─ QuotaExceeded        a limit of the tenant is exhausted
   │    │    └─ DayQuotaExceeded    a limit of the day is, until midnight: retrying sooner does not help
   │    ├─ Overloaded           the request would wait too long
   │    ├─ RefreshUnavailable   the store of refresh tokens is not reachable
   │    ├─ TokensUnavailable    there is no signing key, or the external issuer's keys are not reachable
   │    └─ Draining             this replica is shutting down
   ├─ StorageUnavailable    audio cannot be stored: the disk is full, or not writable
   └─ EngineError           synthesis failed
        ├─ TextUnreadable       the voice cannot read the text; no failure of the engine
        ├─ EngineUnavailable    the engine cannot start on this installation
        ├─ EngineTimeout        no audio came in time
        ├─ EngineCrashed        the worker died or broke the protocol
        ├─ InvalidAudio         the audio cannot be the text: not numbers, silence, far too long
        ├─ EngineNotReady       no process of the engine is loaded: it starts, or its starts fail
        │    └─ RemoteBusy           the model's speech server takes no more requests for now
        ├─ RemoteRejected       the model's speech server rejects the key, the model or the voice
        ├─ RemoteUnreachable    the model's speech server cannot be reached
        └─ EngineGivenUp        the circuit breaker is open after repeated failures

`code` names the error in responses and metrics. A message says what happened, where, and what to do; it never contains
the text of a request or a key.
"""

from datetime import datetime
from typing import ClassVar

# ruff: noqa: N818 - the classes name what happened; "Error" on every leaf would add nothing


class TTSError(Exception):
    """The root of the tree: catches everything that the server raises on purpose."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(TTSError):
    """The request must be changed. `param` names the field; None for the request as a whole."""

    code = "invalid_request"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class InvalidParameter(RequestError):
    """A field's value is out of range, of another type, or unknown."""

    code = "invalid_parameter"


class TextRejected(RequestError):
    """The text cannot be synthesized: it is empty, too long, or has an unclosed tag."""

    code = "text_rejected"


class ModelNotFound(RequestError):
    """The request names a model that this tenant does not have."""

    code = "model_not_found"


class VoiceNotFound(RequestError):
    """The request names a voice that its model does not have."""

    code = "voice_not_found"


class PrecisionNotAllowed(RequestError):
    """The request names a precision outside the model's `allowedPrecisions`."""

    code = "precision_not_allowed"


class FormatUnavailable(RequestError):
    """The format is known, but its encoder is not installed on this server."""

    code = "format_unavailable"


class AudioGone(RequestError):
    """The link has expired, or its audio was deleted."""

    code = "audio_gone"


class Unauthenticated(TTSError):
    """The request has no credential, or one that the tenant did not issue."""

    code = "invalid_api_key"


class InvalidToken(Unauthenticated):
    """The access token is malformed, expired, or for another audience (code of RFC 6750)."""

    code = "invalid_token"


class TokenExpired(InvalidToken):
    """The access token or its API key has expired: this happens to legitimate clients, too."""


class InvalidGrant(Unauthenticated):
    """The refresh token is unknown, used or expired (code of RFC 6749)."""

    code = "invalid_grant"


class TooManyFailures(Unauthenticated):
    """The address has sent too many bad credentials; a valid one from there is still accepted."""

    code = "too_many_failures"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class PermissionDenied(TTSError):
    """The credential is valid, but does not permit this request."""

    code = "permission_denied"


class Refused(TTSError):
    """The request is valid, but cannot be served now. It may succeed after `retry_after_seconds`."""

    code = "refused"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QuotaExceeded(Refused):
    """The request exceeds a limit: `limit` is its name in `spec.quota`, `allowed` its value.

    `remaining` is what smaller requests may still use; at `resets_at` (UTC) the whole limit is available again.
    """

    code = "rate_limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        limit: str,
        retry_after_seconds: float,
        resets_at: datetime | None = None,
        allowed: int | None = None,
        remaining: int = 0,
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.limit = limit
        self.resets_at = resets_at
        self.allowed = allowed
        self.remaining = remaining


class DayQuotaExceeded(QuotaExceeded):
    """The request exceeds a limit of the day."""

    code = "insufficient_quota"


class Overloaded(Refused):
    """The request would wait too long: too much is queued, or the engines are still loading."""

    code = "overloaded"


class RefreshUnavailable(Refused):
    """The store of refresh tokens is not reachable."""

    code = "refresh_unavailable"


class TokensUnavailable(Refused):
    """Tokens can be neither issued nor checked until a key is available."""

    code = "tokens_unavailable"


class Draining(Refused):
    """This replica is shutting down: it completes what it has and accepts nothing new."""

    code = "draining"


class StorageUnavailable(TTSError):
    """Audio cannot be stored, or read from the store."""

    code = "storage_unavailable"


class EngineError(TTSError):
    """Synthesis failed: the engine returned no audio, or samples that are no audio."""

    code = "engine_error"
    counts: ClassVar[bool] = True
    """Whether the circuit breaker counts it as a failure of the engine."""


class TextUnreadable(EngineError):
    """The voice cannot read the text: it has no letter of a language that the voice speaks. The engine works."""

    code = "text_unreadable"
    counts = False


class EngineUnavailable(EngineError):
    """The engine cannot start on this installation; the message names what to install."""

    code = "engine_unavailable"


class EngineTimeout(EngineError):
    """The engine returned no audio within the time that its model allows."""

    code = "engine_timeout"


class EngineCrashed(EngineError):
    """The engine's worker died, or broke the protocol."""

    code = "engine_crashed"


class InvalidAudio(EngineError):
    """The engine yielded audio that cannot be the text: not numbers, silence, or far too long."""

    code = "engine_garbage"


class EngineNotReady(EngineError):
    """No process of the engine is loaded: it is starting, or its starts fail. Retry after `retry_after_seconds`."""

    code = "engine_not_ready"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RemoteBusy(EngineNotReady):
    """The model's speech server works, but takes no more requests for now. Retry after `retry_after_seconds`."""

    code = "remote_busy"
    counts = False


class RemoteRejected(EngineError):
    """The model's speech server rejects the key, the model or the voice: the platform team must correct the model."""

    code = "remote_rejected"


class RemoteUnreachable(EngineError):
    """The model's speech server cannot be reached: no address, no connection, no trusted certificate."""

    code = "remote_unreachable"


class EngineGivenUp(EngineError):
    """The model's circuit breaker is open after repeated failures."""

    code = "engine_given_up"
