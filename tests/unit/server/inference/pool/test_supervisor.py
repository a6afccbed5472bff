"""An engine that fails to start is tried again ever more rarely."""

from __future__ import annotations

import pytest

from tts_server.inference.pool.supervisor import LONGEST_BACKOFF_SECONDS, backoff_seconds


@pytest.mark.parametrize(("failures", "seconds"), [(2, 0.2), (3, 0.4), (4, 0.8), (9, 25.6), (10, 30.0), (10**6, 30.0)])
def test_the_wait_doubles_up_to_half_a_minute(failures: int, seconds: float) -> None:
    assert backoff_seconds(failures) == pytest.approx(seconds)
    assert seconds <= LONGEST_BACKOFF_SECONDS
