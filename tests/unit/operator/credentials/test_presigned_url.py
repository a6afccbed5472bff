"""Presigned URLs: the example of Amazon's documentation, and what a signature depends on."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tts_operator.api.source import S3Source
from tts_operator.credentials.presigned_url import LIFE, S3Keys, presigned_url

KEYS = S3Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
AT = datetime(2013, 5, 24, tzinfo=UTC)


def source(**changes: Any) -> S3Source:
    file = {"path": "test.txt", "sha256": "0" * 64}
    given = {
        "endpoint": "https://s3.amazonaws.com",
        "bucket": "examplebucket",
        "files": [file],
        "secretRef": {"name": "s"},
    }
    return S3Source.model_validate(given | changes)


def test_the_example_of_the_documentation() -> None:
    """Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters", example."""
    url = presigned_url(source(), "test.txt", KEYS, AT, timedelta(days=1))
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
        "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize(
    ("changes", "path", "expected"),
    [
        (
            {"pathStyle": True, "prefix": "voices/en/"},
            "a b/größe.onnx",
            "/examplebucket/voices/en/a%20b/gr%C3%B6%C3%9Fe.onnx",
        ),
        ({"endpoint": "http://minio.store.svc:9000", "pathStyle": True}, "m.onnx", "/examplebucket/m.onnx"),
        ({"prefix": "/voices"}, "m.onnx", "/voices/m.onnx"),
    ],
)
def test_the_path_names_the_object(changes: dict[str, Any], path: str, expected: str) -> None:
    assert urlsplit(presigned_url(source(**changes), path, KEYS, AT)).path == expected


def test_the_same_instant_gives_the_same_url_and_another_key_another_one() -> None:
    url = presigned_url(source(), "test.txt", KEYS, AT)
    assert presigned_url(source(), "test.txt", KEYS, AT) == url
    assert presigned_url(source(), "test.txt", KEYS._replace(secret_key="another"), AT) != url
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == [str(int(LIFE.total_seconds()))]


def test_keys_are_in_no_representation() -> None:
    assert KEYS.secret_key not in repr(KEYS)
    assert KEYS.secret_key not in str(KEYS)
