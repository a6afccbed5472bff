"""What the routes share: the server behind them, and who calls."""

from starlette.requests import Request

from tts_server.admission.auth import Caller, authenticate
from tts_server.errors import InvalidParameter, Overloaded
from tts_server.routes.conversation import conversation_of
from tts_server.scheduling.fair_queue import Priority
from tts_server.server import Server

MEMBER = "Member"


def server_of(request: Request) -> Server:
    """The one server of this application."""
    server: Server = request.app.state.server
    return server


def admit_caller(request: Request) -> Caller:
    """Who calls, before a byte of the body is read. Raises `Unauthenticated`, `Overloaded` while nothing is loaded."""
    server = server_of(request)
    if server.scene is None:
        raise Overloaded("The engines are still loading.")
    config = server.scene.config
    given = [value for name, value in request.scope["headers"] if name == b"authorization"]
    authorization = given[0] if len(given) == 1 else b"" if given else None
    caller = authenticate(authorization, config.auth, server.keyring, member=config.role == MEMBER)
    conversation_of(request.scope).caller = caller
    return caller


def priority_of(request: Request) -> Priority:
    """What `X-TTS-Priority` asks for: it may lower a request, `interactive` is what every one has. Refuses others."""
    asked = request.headers.get("x-tts-priority", Priority.INTERACTIVE.value)
    try:
        return Priority(asked.strip().lower())
    except ValueError:
        known = ", ".join(priority.value for priority in Priority)
        raise InvalidParameter(f"X-TTS-Priority is one of {known}.", param="X-TTS-Priority") from None
