"""A real object store for tests: MinIO's server, built from its module like the cluster's programs."""

import os
import shutil
import signal
import socket
import ssl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import urllib3
from minio import Minio

from hack.cluster import binaries
from hack.cluster.certificates import Authority
from hack.cluster.processes import Processes
from tts_server.config.schema import S3Config

ACCESS_KEY = "tests"
SECRET_KEY = "tests-of-the-store"
NAME = "minio"


@dataclass(frozen=True)
class ObjectStore:
    """A server that runs."""

    address: str
    """Host and port."""
    folder: Path
    processes: Processes
    ca_file: Path | None = None
    """CA certificate of a server with TLS."""

    @property
    def client(self) -> Minio:
        http = urllib3.PoolManager(ca_certs=str(self.ca_file)) if self.ca_file else None
        return Minio(
            self.address, ACCESS_KEY, SECRET_KEY, secure=http is not None, region="us-east-1", http_client=http
        )

    def bucket(self, **changes: Any) -> S3Config:
        """A fresh bucket, and how a server is told of it."""
        name = f"bucket-{uuid.uuid4().hex}"
        self.client.make_bucket(name)
        access_key, secret_key = self.folder / "accessKey", self.folder / "secretKey"
        access_key.write_text(ACCESS_KEY + "\n")
        secret_key.write_text(SECRET_KEY + "\n")
        given: dict[str, Any] = {
            "endpoint": f"{'https' if self.ca_file else 'http'}://{self.address}",
            "bucket": name,
            "ca_file": self.ca_file,
            "path_style": True,
            "access_key_file": access_key,
            "secret_key_file": secret_key,
        }
        return S3Config(**given | changes)

    def names(self, config: S3Config) -> list[str]:
        """Names of all objects in the bucket."""
        return [found.object_name or "" for found in self.client.list_objects(config.bucket, recursive=True)]

    @contextmanager
    def hung(self) -> Iterator[None]:
        """It accepts connections and answers nothing."""
        pids = self.processes.running()[NAME]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


@contextmanager
def running_object_store(folder: Path, authority: Authority | None = None) -> Iterator[ObjectStore]:
    """Started on a free port, with TLS where an authority is given; the kernel ends it if the run is killed."""
    program = binaries.ensure(binaries.STORES)[NAME]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = Processes(folder, die_with_parent=True)
    certificates = folder / "certificates"
    certificates.mkdir()
    if authority is not None:
        pair = authority.issue("minio", "minio", addresses=["127.0.0.1"])
        shutil.copy(pair.certificate, certificates / "public.crt")
        shutil.copy(pair.key, certificates / "private.key")
    environment = {
        "MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off",
    }  # fmt: skip
    where: list[str | Path] = ["--address", address, "--certs-dir", certificates, folder / "data"]
    processes.start(NAME, [program, "server", *where], environment)
    try:
        ca_file = authority.pair.certificate if authority is not None else None
        processes.wait(NAME, lambda: _ready(address, ca_file), seconds=60)
        yield ObjectStore(address, folder, processes, ca_file)
    finally:
        processes.stop()


def _ready(address: str, ca_file: Path | None) -> bool:
    scheme = "http" if ca_file is None else "https"
    trusted = ssl.create_default_context(cafile=ca_file)
    try:
        reply = httpx.get(f"{scheme}://{address}/minio/health/ready", trust_env=False, verify=trusted)
    except httpx.HTTPError:
        return False
    return reply.status_code == httpx.codes.OK
