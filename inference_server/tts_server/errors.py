"""Everything the server raises on purpose.

TTSError
   ├─ RequestError          the caller can fix it: `param` names what to change
   │    ├─ InvalidParameter     a value out of its range or of another type
   │    ├─ TextRejected         nothing to speak, too long, an unclosed tag
   │    ├─ ModelNotFound        no such model here
   │    ├─ VoiceNotFound        the model has no such voice
   │    ├─ PrecisionNotAllowed  not among the model's allowed precisions
   │    ├─ FormatUnavailable    this installation lacks the format's encoder
   │    └─ AudioGone            the link has expired, or its audio was removed
   ├─ Unauthenticated       no credential, or one that nobody issued
   │    ├─ InvalidToken         an access token that is not good here
   │    │    └─ TokenExpired         one that was
   │    ├─ InvalidGrant         a refresh token that is unknown, spent or out of time
   │    └─ TooManyFailures      one bad credential after the other from this address
   ├─ PermissionDenied      a good credential that may not do this
   ├─ Refused               try again later
   │    ├─ QuotaExceeded        a limit of the tenant has no room for it
   │    │    └─ DayQuotaExceeded    until midnight: trying again soon is of no use
   │    ├─ Overloaded           the wait would outlast the caller
   │    ├─ RefreshUnavailable   the store of refresh tokens does not answer
   │    ├─ TokensUnavailable    no key to sign with, or the external issuer's keys cannot be had
   │    └─ Draining             this replica is about to end
   ├─ StorageUnavailable    audio cannot be kept: the disk is full, or not writable
   └─ EngineError           no sound came, or sound that is none
        ├─ EngineUnavailable    the engine cannot start here: something is not installed
        ├─ EngineTimeout        no first audio in time
        ├─ EngineCrashed        its process died or broke the protocol
        ├─ InvalidAudio         what came is no speech: not numbers, silence, far too long
        └─ EngineGivenUp        it failed too often lately: it is left alone for a while

`code` is the error's name in replies and metrics. Messages say what, where and what to do; they never carry a caller's
text or a key.
"""

from datetime import datetime
from typing import ClassVar

# ruff: noqa: N818 - the tree names what happened; "Error" on every leaf would say nothing


class TTSError(Exception):
    """The root of the tree: catch it to catch whatever the server raises on purpose."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(TTSError):
    """The request is wrong; `param` names the field, None when it is the request as a whole."""

    code = "invalid_request"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class InvalidParameter(RequestError):
    """A field's value is out of range, of another type, or unknown."""

    code = "invalid_parameter"


class TextRejected(RequestError):
    """The text cannot be spoken as it stands."""

    code = "text_rejected"


class ModelNotFound(RequestError):
    """The request names a model that this tenant does not have."""

    code = "model_not_found"


class VoiceNotFound(RequestError):
    """The request names a voice that its model does not have."""

    code = "voice_not_found"


class PrecisionNotAllowed(RequestError):
    """The request asks for a precision outside the model's `allowedPrecisions`."""

    code = "precision_not_allowed"


class FormatUnavailable(RequestError):
    """The format is known, but the encoder for it is not installed on this server."""

    code = "format_unavailable"


class AudioGone(RequestError):
    """The audio behind a link was here once, or the link's time is over."""

    code = "audio_gone"


class Unauthenticated(TTSError):
    """No credential came with the request, or one that this tenant did not issue."""

    code = "invalid_api_key"


class InvalidToken(Unauthenticated):
    """An access token that is malformed, expired, or meant for somebody else (RFC 6750's name)."""

    code = "invalid_token"


class TokenExpired(InvalidToken):
    """An access token whose time is over, or whose API key: every honest caller sends one now and then."""


class InvalidGrant(Unauthenticated):
    """A refresh token that buys nothing (RFC 6749's name)."""

    code = "invalid_grant"


class TooManyFailures(Unauthenticated):
    """A bad credential from an address that has sent several; a good one from there is let in all the same."""

    code = "too_many_failures"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class PermissionDenied(TTSError):
    """The credential is good, but not for this."""

    code = "permission_denied"


class Refused(TTSError):
    """The request is right, the moment is not; `retry_after_seconds` says when it may be."""

    code = "refused"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QuotaExceeded(Refused):
    """A limit has no room for the request: `limit` is its name in `spec.quota`, `allowed` how much that is.

    `remaining` is what others may still use of it; `resets_at` (UTC) is when all of it is back.
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
    """A limit of the day has no room for the request."""

    code = "insufficient_quota"


class Overloaded(Refused):
    """Too much is waiting already."""

    code = "overloaded"


class RefreshUnavailable(Refused):
    """Refresh tokens are kept in a store that does not answer now."""

    code = "refresh_unavailable"


class TokensUnavailable(Refused):
    """Tokens can be neither made nor checked until a key is there."""

    code = "tokens_unavailable"


class Draining(Refused):
    """This replica finishes what it has and takes nothing new."""

    code = "draining"


class StorageUnavailable(TTSError):
    """The store takes no more audio."""

    code = "storage_unavailable"


class EngineError(TTSError):
    """The engine gave no sound, or samples that are not sound."""

    code = "engine_error"


class EngineUnavailable(EngineError):
    """The engine cannot start on this installation; the message names what to install."""

    code = "engine_unavailable"


class EngineTimeout(EngineError):
    """The engine gave no first audio in the time that its model allows."""

    code = "engine_timeout"


class EngineCrashed(EngineError):
    """The engine's process died, or said something that is not its protocol."""

    code = "engine_crashed"


class InvalidAudio(EngineError):
    """The engine yielded what cannot be the text: not numbers, silence, or sound without end."""

    code = "engine_garbage"


class EngineGivenUp(EngineError):
    """The engine's breaker is open: it is not asked for a while."""

    code = "engine_given_up"
