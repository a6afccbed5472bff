"""The composition root, as far as it needs no cluster."""

from __future__ import annotations

import tzdata

from tts_operator.run import metrics_of_process


def test_the_release_of_the_time_zone_database_is_a_metric() -> None:
    metrics = metrics_of_process()
    labels = {"version": tzdata.IANA_VERSION}
    assert metrics.registry.get_sample_value("tts_operator_time_zones_info", labels) == 1
