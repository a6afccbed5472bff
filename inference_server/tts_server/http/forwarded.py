"""The address under which a proxy received a request: `X-Forwarded-Proto`, `-Host` and `-Prefix`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The address that the first proxy received, in parts; a part that is absent or invalid is empty."""

    scheme: str = ""
    host: str = ""
    prefix: str = ""
    """Path that the proxy has removed, such as `/speech`, without a slash at its end."""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Self:
        """Read the headers. Each proxy appends its own value: the caller's is the first."""
        scheme = _first(headers, "x-forwarded-proto").lower()
        prefix = _first(headers, "x-forwarded-prefix").rstrip("/")
        return cls(
            scheme=scheme if scheme in {"http", "https"} else "",
            host=plain_host(_first(headers, "x-forwarded-host")),
            prefix=prefix if PREFIX.fullmatch(prefix) and ".." not in prefix else "",
        )


def plain_host(host: str) -> str:
    """Return the host, with its port, unchanged if it may stand in a link; else an empty string."""
    return host if HOST.fullmatch(host) else ""


def _first(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").partition(",")[0].strip()
