"""A response is split into lines of any length, up to a limit."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tts_operator.cluster.errors import TooLarge
from tts_operator.cluster.lines import lines


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize(
    "parts",
    [
        (b"one\ntwo\n\nthree",),
        (b"o", b"ne", b"\n", b"two\n", b" \n", b"three"),
        (b"one\ntw", b"o\nthr", b"ee\n"),
    ],
)
async def test_lines_are_the_same_however_they_are_cut(parts: tuple[bytes, ...]) -> None:
    assert [line async for line in lines(chunks(*parts))] == [b"one", b"two", b"three"]


@pytest.mark.parametrize("parts", [(b"a\n123456\n",), (b"a\n123", b"456\n"), (b"a\n123", b"456", b"789")])
async def test_a_line_beyond_the_limit_is_an_error_as_soon_as_that_is_known(parts: tuple[bytes, ...]) -> None:
    found = lines(chunks(*parts), max_bytes=5)
    assert await anext(found) == b"a"
    with pytest.raises(TooLarge, match="more than 5 bytes"):
        await anext(found)
