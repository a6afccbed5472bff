"""Splits a response into lines of any length, up to a limit."""

from collections.abc import AsyncIterator

from tts_operator.cluster.errors import TooLarge

MAX_LINE_BYTES = 20 * 2**20
"""Longest event of a watch. etcd stores 1.5 MiB of an object by default, and JSON writes a control character in six
bytes."""


async def lines(chunks: AsyncIterator[bytes], max_bytes: int = MAX_LINE_BYTES) -> AsyncIterator[bytes]:
    """Yield the lines that are not blank, and at the end what follows the last line break. Raises TooLarge."""
    rest = bytearray()
    async for chunk in chunks:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            line = bytes(rest) + chunk[start:end] if rest else chunk[start:end]
            rest.clear()
            start = end + 1
            _check(len(line), max_bytes)
            if line.strip():
                yield line
        rest += chunk[start:]
        _check(len(rest), max_bytes)
    if rest.strip():
        yield bytes(rest)


def _check(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise TooLarge(f"an event of a watch has more than {max_bytes} bytes")
