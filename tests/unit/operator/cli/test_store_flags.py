"""The operator's own stores as its flags give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tts_operator.cli.main import main, parser, settings_of
from tts_operator.observe.credential_files import StoreFiles
from tts_operator.settings import RedisDefault, Settings
from tts_server.config.redis_url import RedisURL, parse_redis_url

RUN = ["run", "--server-image=example/tts-server:1"]
S3 = ["--s3-endpoint=https://s3.example", "--s3-bucket=speech"]


def settings(*flags: str) -> Settings:
    return settings_of(parser().parse_args([*RUN, *flags]))[0]


def test_without_flags_there_are_none() -> None:
    assert (settings().redis, settings().s3) == (None, None)


def test_they_are_what_the_flags_say(tmp_path: Path) -> None:
    found = settings("--redis-url=rediss://redis.svc:6390/1", f"--redis-directory={tmp_path}")
    assert found.redis == RedisDefault(RedisURL("redis.svc", 6390, 1, tls=True), tmp_path)
    s3 = settings(*S3, f"--s3-directory={tmp_path}", "--s3-path-style=true", "--s3-prefix=fleet").s3
    assert s3 is not None
    assert (s3.path_style, s3.prefix, s3.region, s3.public_endpoint) == (True, "fleet", "us-east-1", None)


def test_values_that_the_chart_leaves_empty_are_not_set(tmp_path: Path) -> None:
    empty = ("--s3-prefix=", "--s3-public-endpoint=", "--s3-path-style=false")
    s3 = settings(*S3, f"--s3-directory={tmp_path}", *empty).s3
    assert s3 is not None
    assert (s3.prefix, s3.public_endpoint, s3.path_style) == ("", None, False)
    assert settings("--s3-endpoint=", "--s3-bucket=", "--redis-url=", "--redis-directory=").s3 is None


KEYS = "--s3-directory=/nowhere"
MISTAKES: dict[str, tuple[list[str], str]] = {
    "no address": (["--redis-url=redis.svc"], "argument --redis-url: does not begin with redis://"),
    "a password on the command line": (
        ["--redis-url=redis://:s3cret@host"],
        "argument --redis-url: must hold no credentials; put them into --redis-directory",
    ),
    "a store without keys": (S3, "argument --s3-directory: is required with --s3-endpoint; set it, or TTS_OPERATOR_S3"),
    "a store without a bucket": (
        ["--s3-endpoint=https://s3.example", KEYS, "--s3-bucket="],
        "argument --s3-bucket: is required with --s3-endpoint",
    ),
    "an endpoint with a path": (
        ["--s3-endpoint=https://s3.example/a", "--s3-bucket=speech", KEYS],
        "argument --s3-endpoint: must be http[s]://host[:port]",
    ),
    "an endpoint with a password": (
        ["--s3-endpoint=https://:s3cret@s3.example", "--s3-bucket=speech", KEYS],
        "argument --s3-endpoint: must be http[s]://host[:port]",
    ),
    "where callers reach it, without a scheme": (
        [*S3, KEYS, "--s3-public-endpoint=audio.example"],
        "argument --s3-public-endpoint: must be http[s]://host[:port]",
    ),
    "a port that cannot be": (
        ["--s3-endpoint=https://s3.example:70000", "--s3-bucket=speech", KEYS],
        "argument --s3-endpoint: must be http[s]://host[:port]",
    ),
    "a prefix out of the bucket": (
        [*S3, KEYS, "--s3-prefix=a/../b"],
        "argument --s3-prefix: must be at most 470 characters, with no . or ..",
    ),
    "a prefix that leaves no room for a UID": (
        [*S3, KEYS, f"--s3-prefix={'a' * 471}"],
        "argument --s3-prefix: must be",
    ),
    "a region with a space": ([*S3, KEYS, "--s3-region=us east"], "argument --s3-region: must be a region's name"),
    "keys that are not there": ([*S3, KEYS], "/nowhere/accessKey cannot be read: No such file"),
}


@pytest.mark.parametrize(("flags", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_ends_the_start_with_its_reason(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, *flags]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"tts-operator: {message}")
    assert len(errors.splitlines()) == 1
    assert "s3cret" not in errors


async def test_files_that_cannot_be_read_for_a_moment_are_what_they_were(tmp_path: Path) -> None:
    certificate = tmp_path / "ca.crt"
    files = StoreFiles(
        Settings(server_image="", redis=RedisDefault(parse_redis_url("redis://host"), directory=tmp_path))
    )
    assert await files.redis_certificate() == ""
    certificate.write_text("one\n")
    assert await files.redis_certificate() == "one"
    certificate.unlink()
    assert await files.redis_certificate() == "one"
    certificate.write_bytes(b"\xff")
    assert await files.redis_certificate() == "one"
    certificate.write_text("two")
    assert await files.redis_certificate() == "two"


@pytest.mark.parametrize("endpoint", ["http://minio.acme-1a2b3c.svc:9000", "https://s3.example"])
def test_an_endpoint_is_a_server_with_or_without_its_port(endpoint: str, tmp_path: Path) -> None:
    found = settings(f"--s3-endpoint={endpoint}", "--s3-bucket=speech", f"--s3-directory={tmp_path}").s3
    assert found is not None
    assert found.endpoint == endpoint
