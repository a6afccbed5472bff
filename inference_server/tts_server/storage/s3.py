"""Audio in an S3-compatible object store: shared by all replicas; clients fetch from it by presigned links."""

import asyncio
import io
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import certifi
import structlog
import urllib3
from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error
from urllib3.connection import HTTPConnection, HTTPSConnection

from tts_server.circuit_breaker import SERVICE, Breaker
from tts_server.config.hosts import is_local_text
from tts_server.config.schema import S3Config
from tts_server.errors import StorageUnavailable
from tts_server.storage.credentials import CredentialFiles
from tts_server.storage.protocol import ANY_BYTES, KEY, Audio, StorageLimits
from tts_server.tls import TlsTrustStore

log = structlog.get_logger(__name__)

CALL_SECONDS = 2.0
"""Time limit of one call, including the wait for a thread."""
CONNECT_SECONDS = 1.0
SWEEP_SECONDS = 30.0
SWEEP_PAGES = 5
PAGE_OBJECTS = 1000
"""Maximum objects of one list or delete request in S3."""
THREADS = 16
SMALLEST_PART_BYTES = 5 * 1024 * 1024
"""The client's minimum part size. A single part is one PUT, which is atomic."""
LONGEST_LINK_SECONDS = 604_800
"""Maximum lifetime of a presigned URL in AWS (Signature Version 4)."""
NO_ANSWER = (ValueError, LookupError, ParseError)
"""Exceptions of the client for a response that is not from S3: a proxy's page, a truncated document."""
ENDED = RuntimeError
"""Exception of a thread pool that was closed with its store while a sweep was running."""
FAILURES = (MinioException, urllib3.exceptions.HTTPError, OSError, *NO_ANSWER, ENDED)

R = TypeVar("R")


class S3Store:
    """`Store` in a bucket, under `<prefix><tenant>/`, or under `<prefix>` for a shared pool, which has no `tenant`.

    Its client blocks, so it runs in a thread pool.

    If the object store does not respond, one caller waits for `CALL_SECONDS`; then the breaker opens.
    """

    def __init__(
        self,
        config: S3Config,
        limits: StorageLimits,
        tenant: str,
        *,
        now: Callable[[], float] = time.time,
        breaker: Breaker | None = None,
    ) -> None:
        self.limits = limits
        self._bucket = config.bucket
        self._prefix = f"{config.prefix.strip('/')}/" if config.prefix.strip("/") else ""
        self._tenant = tenant
        self._now = now
        self._breaker = breaker or Breaker(limits=SERVICE)
        self._client = _client(config, config.endpoint)
        self._public = _client(config, config.public_endpoint or config.endpoint)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        # Each replica starts at a random key, so that all of them sweep the bucket sooner. Keys begin with hex digits.
        self._swept_to = f"{self._own_prefix}{secrets.token_hex(2)}"

    async def keep(self, key: str, content: bytes, media_type: str = ANY_BYTES) -> None:
        if not KEY.fullmatch(key):
            raise ValueError("not a key of new_key")
        part_bytes = max(len(content), SMALLEST_PART_BYTES)

        def put() -> None:
            self._client.put_object(
                self._bucket, self._prefix + key, io.BytesIO(content), len(content), media_type, part_size=part_bytes
            )

        await self._call(put)

    async def fetch(self, key: str) -> Audio | None:
        if not KEY.fullmatch(key):
            return None
        content = await self._call(lambda: self._get(self._prefix + key))
        return None if content is None else Audio(content, key.rpartition(".")[2])

    async def remove(self, key: str) -> None:
        if KEY.fullmatch(key):
            await self._call(lambda: self._client.remove_object(self._bucket, self._prefix + key))

    def link(self, key: str, seconds: int) -> str:
        expires = timedelta(seconds=min(seconds, LONGEST_LINK_SECONDS))
        try:
            return self._public.presigned_get_object(self._bucket, self._prefix + key, expires)
        except FAILURES as error:
            raise self._unavailable(error) from error

    async def sweep(self) -> None:
        for _ in range(SWEEP_PAGES):
            self._swept_to = await self._call(self._sweep_page, SWEEP_SECONDS)
            if not self._swept_to:
                return

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    @property
    def _own_prefix(self) -> str:
        return f"{self._prefix}{self._tenant}/" if self._tenant else self._prefix

    def _get(self, name: str) -> bytes | None:
        response = None
        try:
            response = self._client.get_object(self._bucket, name)
            kept_at = parsedate_to_datetime(response.headers["Last-Modified"]).timestamp()
            if kept_at <= self._now() - self.limits.retention_seconds:
                return None  # expired, but not swept yet
            return response.read()
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise
        finally:
            if response is not None:
                response.close()
                response.release_conn()

    def _sweep_page(self) -> str:
        """Deletes expired objects of one page; returns the continuation token."""
        listed = self._client.list_objects(
            self._bucket, prefix=self._own_prefix, recursive=True, start_after=self._swept_to or None
        )
        page = list(islice(listed, PAGE_OBJECTS))
        oldest = self._now() - self.limits.retention_seconds
        names = [found.object_name or "" for found in page]
        expired = [
            DeleteObject(name)
            for found, name in zip(page, names, strict=True)
            # Only objects that a server has written: the bucket may contain others.
            if KEY.fullmatch(name.removeprefix(self._prefix))
            and found.last_modified is not None
            and found.last_modified.timestamp() <= oldest
        ]
        if expired:
            for failure in self._client.remove_objects(self._bucket, expired):
                log.warning("expired audio not deleted", reason=failure.code)
        return names[-1] if len(page) == PAGE_OBJECTS else ""

    async def _call(self, work: Callable[[], R], seconds: float = CALL_SECONDS) -> R:
        permit = self._breaker.permit()
        if permit is None:
            raise StorageUnavailable("The object store failed moments ago; it will be retried soon.")
        try:
            async with asyncio.timeout(seconds):
                result = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except FAILURES as error:  # a timeout is an OSError
            self._breaker.failed(permit)
            raise self._unavailable(error) from error
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        self._breaker.succeeded(permit)
        return result

    def _unavailable(self, error: Exception) -> StorageUnavailable:
        reason = error.code if isinstance(error, S3Error) else _REASONS.get(type(error), type(error).__name__)
        log.error("object store failed", bucket=self._bucket, reason=reason)
        return StorageUnavailable(f"The object store failed: {reason}.")


_REASONS: Mapping[type[Exception], str] = {FileNotFoundError: "NoCredentials", TimeoutError: "Timeout"}
"""Reasons that say more than the type of the exception: the only files that are opened are those of credentials."""


def _client(config: S3Config, endpoint: str) -> Minio:
    address = urlsplit(endpoint)
    client = Minio(
        address.netloc,
        secure=address.scheme == "https",
        region=config.region,  # without it the client would send a request to sign a link
        credentials=CredentialFiles(config.access_key_file, config.secret_key_file),
        http_client=_connections(
            TlsTrustStore(config.ca_file or Path(certifi.where()), needed=True),
            refuse_local=config.refuse_local_addresses,
        ),
    )
    if config.path_style:
        client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]  # without annotations in the library
    else:
        client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    return client


class LocalAddress(urllib3.exceptions.HTTPError):
    """The endpoint's name means an address to which no tenant may lead a server. No request was sent there."""


def _connections(trust: TlsTrustStore, *, refuse_local: bool) -> urllib3.PoolManager:
    """A pool whose connections trust the current certificates. urllib3 itself would read them for each connection."""

    def check(connection: HTTPConnection) -> None:
        """The other end of the socket, because a name may mean another address each time that it is looked up."""
        if refuse_local and connection.sock is not None and is_local_text(str(connection.sock.getpeername()[0])):
            connection.close()
            raise LocalAddress("the endpoint has a loopback, link-local or metadata address")

    class PlainConnection(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            check(self)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class Connection(HTTPSConnection):
        def connect(self) -> None:
            try:
                self.ssl_context = trust.context()
            except OSError as error:
                raise urllib3.exceptions.SSLError(error) from error  # urllib3's own exception for it
            super().connect()
            check(self)

    class Pool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Connection

    manager = urllib3.PoolManager(
        maxsize=THREADS,
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=CALL_SECONDS),
        retries=urllib3.Retry(1, redirect=0, status_forcelist=(500, 502, 503, 504)),
        cert_reqs="CERT_REQUIRED",
    )
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": Pool}
    return manager
