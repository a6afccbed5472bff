"""Rules of RFC 9112 for a request's headers that the parser does not check.

A proxy may read a request that breaks them in another way than this server.
"""

import re
from collections.abc import Sequence

Headers = Sequence[tuple[bytes, bytes]]

HOST = re.compile(rb"([A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
"""A host with an optional port (RFC 3986, section 3.2.2). It may be empty."""


def has_valid_host(headers: Headers, http_version: str) -> bool:
    """Whether there is exactly one `Host`, and it is valid (RFC 9112, section 3.2). HTTP/1.0 may lack it."""
    hosts = [value for name, value in headers if name == b"host"]
    if not hosts:
        return http_version == "1.0"
    return len(hosts) == 1 and HOST.fullmatch(hosts[0].strip()) is not None


def is_chunked_only(headers: Headers) -> bool:
    """Whether the body is in no transfer coding but `chunked` (RFC 9112, section 6.1)."""
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    return not codings or codings == [b"chunked"]
