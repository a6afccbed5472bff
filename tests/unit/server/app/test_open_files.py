"""Connections that a limit of open files leaves room for."""

import pytest

from tts_server.app.open_files import connections_within

LIMITS: dict[str, tuple[int | None, int]] = {
    # the limit           open files    connections
    "none":              (None,         4096),
    "a container's":     (1_048_576,    4096),
    "a shell's":         (1024,         768),
    "just enough":       (4352,         4096),
    "very low":          (256,          32),
}  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), LIMITS.values(), ids=LIMITS)
def test_connections_within(files: int | None, expected: int) -> None:
    assert connections_within(files) == expected
