"""An external issuer: a real HTTPS server that publishes a key set, with a certificate that a test trusts."""

import asyncio
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.jwt_forgery import pem, rsa_key


@dataclass
class Issuer:
    """`answer` is sent as it stands; `gate` holds every answer back while it is clear."""

    port: int
    ca_file: Path
    keys: list[dict[str, Any]] = field(default_factory=list)
    status: str = "200 OK"
    headers: str = ""
    body: bytes | None = None
    """Body of each reply; None for the key set."""
    asked: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/jwks.json"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            await self.gate.wait()
            body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
            head = f"HTTP/1.1 {self.status}\r\n{self.headers}content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever asked is gone
        finally:
            writer.close()


@asynccontextmanager
async def issuing(folder: Path, *keys: dict[str, Any]) -> AsyncIterator[Issuer]:
    """Up until it is left."""
    certificate, key = _certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    issuer = Issuer(0, certificate, list(keys))
    issuer.gate.set()
    server = await asyncio.start_server(issuer.answer, "127.0.0.1", 0, ssl=context)
    issuer.port = server.sockets[0].getsockname()[1]
    try:
        yield issuer
    finally:
        issuer.gate.set()
        server.close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = rsa_key("issuer's TLS")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "issuer.crt", folder / "issuer.key"
    for file, content in zip(files, (certificate.public_bytes(Encoding.PEM), pem(key)), strict=True):
        file.write_bytes(content)
    return files
