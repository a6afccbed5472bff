"""Looks up a name at one name server."""

from __future__ import annotations

import socket
import struct

TYPE_A, CLASS_IN = 1, 1
RECURSION_DESIRED = 0x0100


def knows(name: str, server: str, timeout_seconds: float = 1.0) -> bool:
    """Whether `server` has an address for `name` (RFC 1035, section 4)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack(">6H", 1, RECURSION_DESIRED, 1, 0, 0, 0) + labels + struct.pack(">x2H", TYPE_A, CLASS_IN)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout_seconds)
        try:
            client.sendto(query, (server, 53))
            answer = client.recv(512)
        except OSError:
            return False
    flags, answers = int.from_bytes(answer[2:4], "big"), int.from_bytes(answer[6:8], "big")
    return flags & 0xF == 0 and answers > 0
