"""Repairs paths with a slash too many: a base address with a slash at its end, or a route with one."""

from starlette.types import ASGIApp, Receive, Scope, Send


class SlashRepair:
    """Wraps an application: `//v1/models` and `/v1/models/` reach `/v1/models`. Encoded slashes belong to a name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            if ("//" in path or (path.endswith("/") and path != "/")) and not _has_encoded_slash(scope):
                scope["path"] = repaired(path)
                scope["raw_path"] = repaired(scope["raw_path"].decode("latin-1")).encode("latin-1")
        await self._app(scope, receive, send)


def repaired(path: str) -> str:
    """Return the path with single slashes, and none at its end."""
    return "/" + "/".join(part for part in path.split("/") if part)


def _has_encoded_slash(scope: Scope) -> bool:
    return b"%2f" in scope["raw_path"].lower()
