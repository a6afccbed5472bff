"""Tells the kubelet why a container ends: the last words of a container are in its status, beside its exit code."""

import os
from contextlib import suppress
from pathlib import Path

TERMINATION_LOG = Path("/dev/termination-log")
"""Default of `terminationMessagePath` in a pod; elsewhere the file does not exist."""
MAX_BYTES = 4096
"""Longest message that the kubelet reads."""


def write_termination_message(message: str, path: Path = TERMINATION_LOG) -> None:
    """Replace the termination message, if there is a file for it. It is optional: a failure has no effect."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)  # never creates it: a laptop has none
        try:
            os.write(descriptor, message.encode()[:MAX_BYTES])
        finally:
            os.close(descriptor)
