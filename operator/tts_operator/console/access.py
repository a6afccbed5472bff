"""Decides who may ask the console: pages of other origins, and other people of this machine, may not."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

ADDRESS = "127.0.0.1"
READS = frozenset({"GET", "HEAD"})
SAME = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site of a page of the console's own, and of an address that a person typed or clicked."""


@dataclass(frozen=True)
class Access:
    """The door of one console: its port, and the token that is part of every address."""

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def hosts(self) -> frozenset[str]:
        """Values of the header Host: a name that leads here (DNS rebinding) is none of them."""
        return frozenset({f"{ADDRESS}:{self.port}", f"localhost:{self.port}"})

    @property
    def path(self) -> str:
        """Path below which everything is."""
        return f"/{self.token}/"

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{ADDRESS}:{self.port}{self.path}"

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> str:
        """Why a request is refused; empty for one that is not. The order is that of what a stranger may learn."""
        if headers.get("Host", "") not in self.hosts:
            return "The header Host must be the address that `kubectl tts console` printed."
        origin = headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") != headers["Host"]:
            return "Pages of other origins may not ask the console."
        if method not in READS and origin is None:
            return "A request that is not a reading needs the header Origin of the console."
        # A link from elsewhere may open the page, which then asks as itself; nothing else may be loaded from there.
        opens = method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate" and path == self.path
        if headers.get("Sec-Fetch-Site", "none") not in SAME and not opens:
            return "Pages of other sites may not ask the console."
        given = path.split("/", 2)[1] if path.startswith("/") else ""
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return "Open the address that `kubectl tts console` printed: it holds a token that changes with each start."
        return ""
