"""A real Prometheus with a history that a test writes: samples of the past, as a scrape would have left them."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from hack.promtool import prometheus_server, promtool

START_SECONDS = 120.0


class Span(NamedTuple):
    """A series that has one value between two instants, or grows by `each_step`."""

    metric: str
    labels: Mapping[str, str]
    start: datetime
    end: datetime
    value: float
    each_step: float = 0.0


def openmetrics(spans: Iterable[Span], step: timedelta) -> str:
    """Samples of the spans in OpenMetrics, one for each step from the start to before the end."""
    by_metric: dict[str, list[str]] = {}
    for span in spans:
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(span.labels.items()))
        lines = by_metric.setdefault(span.metric, [])
        for number in range((span.end - span.start) // step):
            at = (span.start + number * step).timestamp()
            lines.append(f"{span.metric}{{{labels}}} {span.value + number * span.each_step} {at}")
    parts = [f"# TYPE {metric} gauge\n" + "\n".join(lines) for metric, lines in by_metric.items()]
    return "\n".join([*parts, "# EOF", ""])


@contextmanager
def prometheus_with(folder: Path, spans: Iterable[Span], step: timedelta) -> Iterator[str]:
    """Prometheus with this history; gives its URL."""
    samples, data, config = folder / "samples", folder / "data", folder / "prometheus.yml"
    samples.write_text(openmetrics(spans, step))
    backfill = [str(promtool()), "tsdb", "create-blocks-from", "openmetrics", str(samples), str(data)]
    subprocess.run(backfill, check=True, capture_output=True, timeout=START_SECONDS)
    config.write_text("global: {}\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    flags = [f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}"]
    flags += ["--storage.tsdb.retention.time=3650d"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(prometheus_server()), *flags], stdout=log, stderr=log)
    try:
        _wait(f"http://{address}/-/ready", process, folder / "log")
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"Prometheus is not ready: {log.read_text()}")
