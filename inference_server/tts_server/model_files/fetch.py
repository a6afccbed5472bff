"""Downloads a model's files by presigned URLs. A file gets its name only once its checksum is that of the TTSModel.

A connection that ends early is continued where it ended (RFC 9110, range requests), until the deadline. No message
contains a URL: whoever has one may read the file.
"""

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

import certifi
import urllib3

from tts_server.config.schema import Download, Downloads

CHUNK_BYTES = 1024 * 1024
CONNECT_SECONDS = 10.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
"""Pauses between attempts; each is twice as long as the one before it."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
MAX_ERROR_BYTES = 64 * 1024
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""
ADVICE = "correct spec.source.s3 of the TTSModel"


class FetchFailed(Exception):  # noqa: N818 - names what happened
    """The files are not complete. The message is one sentence for people."""


class Interrupted(Exception):  # noqa: N818 - names what happened
    """An attempt ended early for a reason that may pass; the message completes "<path>: "."""


@dataclass(frozen=True)
class FetchLimits:
    """Limits of one call of `fetch`."""

    deadline_seconds: float = 1800.0
    """Time for all files, pauses and repeated attempts included."""
    read_seconds: float = 30.0
    """Longest silence of the object store."""
    max_bytes: int | None = None
    """Size of the volume; unset: no limit."""


def fetch(
    downloads: Downloads,
    directory: Path,
    limits: FetchLimits | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Make `directory` hold every file. Returns the paths that were downloaded: the others were there already.

    Raises `FetchFailed`; then every file that has its name is whole.
    """
    fetcher = _Fetcher(directory, limits or FetchLimits(), clock, pause)
    return [file.path for file in downloads.files if fetcher.fetch(file)]


class _Fetcher:
    def __init__(
        self, directory: Path, limits: FetchLimits, clock: Callable[[], float], pause: Callable[[float], None]
    ) -> None:
        self._directory = directory
        self._limits = limits
        self._clock, self._pause = clock, pause
        self._deadline = clock() + limits.deadline_seconds
        self._bytes = 0
        """Size of the files that are complete."""
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=limits.read_seconds),
            retries=False,
            cert_reqs="CERT_REQUIRED",
            ca_certs=certifi.where(),
        )

    def fetch(self, file: Download) -> bool:
        target = self._directory / file.path
        with _writing(file.path):
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = not (target.is_file() and digest_of(target) == file.sha256)
            if fresh:
                self._download(file, part := target.with_name(f".{target.name}.part"))
                _put_in_place(part, target)
            self._bytes += target.stat().st_size
        return fresh

    def _download(self, file: Download, part: Path) -> None:
        """Complete `part`. What an earlier attempt left is continued; if it then proves wrong, it begins anew, once."""
        continued, seconds = part.exists(), FIRST_PAUSE_SECONDS
        while True:
            try:
                self._attempt(file, part)
            except Interrupted as error:
                if self._clock() + seconds >= self._deadline:
                    raise self._too_late(file, part, str(error)) from error
                self._pause(seconds)
                continued, seconds = True, min(2 * seconds, LONGEST_PAUSE_SECONDS)
                continue
            found = digest_of(part)
            if found == file.sha256:
                return
            part.unlink()
            if not continued:
                raise FetchFailed(
                    f"{file.path} has the SHA-256 {found}, and source.s3.files says {file.sha256}: the object was"
                    " replaced or the checksum is wrong; correct one of them"
                )
            continued = False

    def _attempt(self, file: Download, part: Path) -> None:
        start = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        try:
            response = self._http.request(
                "GET", file.url, headers=headers, preload_content=False, decode_content=False, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise Interrupted(f"{_host(file)} {_cause(error)}") from error
        try:
            if response.status == 416 and start:  # nothing is missing, or the object is now shorter
                return
            if response.status not in {200, 206}:
                raise _refusal(file, response)
            if response.status == 200:
                start = 0
            elif not str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-"):
                part.unlink()
                raise Interrupted("the object store answered with another range than asked")
            self._check_room(file, start, response)
            with part.open("ab" if start else "wb") as output:
                self._copy(file, response, output, part)
        finally:
            response.close()

    def _copy(self, file: Download, response: urllib3.BaseHTTPResponse, output: BinaryIO, part: Path) -> None:
        while True:
            try:
                chunk = response.read(CHUNK_BYTES)
            except urllib3.exceptions.HTTPError as error:
                raise Interrupted(f"{_host(file)} {_cause(error)}") from error
            if not chunk:
                output.flush()
                os.fsync(output.fileno())
                return
            self._check_room(file, output.tell() + len(chunk))
            output.write(chunk)
            if self._clock() >= self._deadline:
                output.flush()
                raise self._too_late(file, part, "the object store is too slow")

    def _check_room(self, file: Download, size: int, response: urllib3.BaseHTTPResponse | None = None) -> None:
        """Refuse a file that the volume cannot hold, where possible before its first byte."""
        if response is not None:
            size += int(response.headers.get("Content-Length") or 0)
        limit = self._limits.max_bytes
        if limit is not None and self._bytes + size > limit:
            raise FetchFailed(
                f"the files need more than {limit // 2**20} MiB, of which {file.path} has {-(-size // 2**20)} MiB:"
                " raise spec.source.s3.sizeLimit of the TTSModel"
            )

    def _too_late(self, file: Download, part: Path, cause: str) -> FetchFailed:
        size = part.stat().st_size if part.exists() else 0
        return FetchFailed(
            f"{file.path} is not complete after {self._limits.deadline_seconds:.0f} seconds ({size // 1024} KiB):"
            f" {cause}; the next attempt continues there"
        )


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _put_in_place(part: Path, target: Path) -> None:
    """Give the complete file its name, durably: its content was synced before."""
    part.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _writing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise FetchFailed(
                f"the volume is full while {path} is written: raise spec.source.s3.sizeLimit of the TTSModel, and see"
                " that the node has room"
            ) from error
        raise FetchFailed(f"{path} cannot be written: {error.strerror}") from error


def _refusal(file: Download, response: urllib3.BaseHTTPResponse) -> Exception:
    status, code = response.status, _code(response)
    what = f"the object store at {_host(file)} answers {status}{f' {code}' if code else ''}"
    if status in TEMPORARY:
        return Interrupted(what)
    if status == 404:
        return FetchFailed(f"{file.path} does not exist: {what}; {ADVICE}")
    if status in {401, 403}:
        expired = _expired_at(file)
        if expired is not None and expired <= datetime.now(UTC):
            return FetchFailed(
                f"{file.path}: its URL expired at {expired:%Y-%m-%dT%H:%M:%SZ}; see that the operator runs: it renews"
                " URLs in time"
            )
        return FetchFailed(
            f"{file.path} may not be read: {what}; the object does not exist, or the Secret of"
            " spec.source.s3.secretRef has no right to read it"
        )
    return FetchFailed(f"{file.path}: {what}; {ADVICE}: its endpoint, region, bucket or pathStyle")


def _code(response: urllib3.BaseHTTPResponse) -> str:
    """The error code in the body of an answer by S3; empty without one."""
    body = b""
    with suppress(urllib3.exceptions.HTTPError):
        body = response.read(MAX_ERROR_BYTES)
    found = re.search(rb"<Code>([A-Za-z]{1,64})</Code>", body)
    return found[1].decode() if found else ""


def _expired_at(file: Download) -> datetime | None:
    """When the URL expires; None if it does not say."""
    query = parse_qs(urlsplit(file.url).query)
    try:
        signed = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return signed + timedelta(seconds=int(query["X-Amz-Expires"][0]))
    except (KeyError, ValueError):
        return None


def _host(file: Download) -> str:
    return urlsplit(file.url).netloc


def _cause(error: urllib3.exceptions.HTTPError) -> str:
    """Why a request failed, as the end of a sentence. The exception's own text may contain the URL."""
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "has no address in DNS"
    if isinstance(error, urllib3.exceptions.SSLError):
        return "has no certificate that this image trusts"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError | urllib3.exceptions.ReadTimeoutError):
        return "does not answer in time"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "cannot be reached"
    return "ended the connection early"
