"""Presigned URLs of objects in an S3-compatible store: AWS Signature Version 4 with query parameters.

Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
"""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from tts_operator.api.source import S3Source

LIFE = timedelta(days=7)
"""Longest validity that Signature Version 4 allows."""
ALGORITHM = "AWS4-HMAC-SHA256"


class S3Keys(NamedTuple):
    """Credentials of an object store. `repr` hides them."""

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return "S3Keys(...)"


def presigned_url(source: S3Source, path: str, keys: S3Keys, signed_at: datetime, life: timedelta = LIFE) -> str:
    """URL by which anyone may read one file of the source for the time `life` after `signed_at`."""
    endpoint = urlsplit(source.endpoint)
    key = "/".join(part for part in (source.prefix.strip("/"), path) if part)
    host = endpoint.netloc if source.path_style else f"{source.bucket}.{endpoint.netloc}"
    resource = quote(f"/{source.bucket}/{key}" if source.path_style else f"/{key}", safe="/")
    stamp = signed_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{source.region}/s3/aws4_request"
    parameters = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{keys.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(int(life.total_seconds())),
        "X-Amz-SignedHeaders": "host",
    }
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(parameters.items()))
    request = "\n".join(
        ("GET", resource, query, f"host:{signed_host(host, endpoint.scheme)}", "", "host", "UNSIGNED-PAYLOAD")
    )
    to_sign = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    signature = hmac.new(signing_key(keys.secret_key, scope), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"{endpoint.scheme}://{host}{resource}?{query}&X-Amz-Signature={signature}"


def signed_host(host: str, scheme: str) -> str:
    """Host header as HTTP clients send it: without the port that is the scheme's own."""
    return host.removesuffix({"http": ":80", "https": ":443"}[scheme])


def signing_key(secret_key: str, scope: str) -> bytes:
    """Key of one day, region and service."""
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
