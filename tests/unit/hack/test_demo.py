"""The demo measures a recording."""

from __future__ import annotations

import math
import shlex
import struct
from pathlib import Path
from typing import Any

import pytest

from hack.cluster.errors import ClusterError
from hack.demo import commands, examine, reasons

UNKNOWN = 0xFFFFFFFF


def wav(samples: list[int], *, rate: int = 22_050, declared: int | None = None) -> bytes:
    data = struct.pack(f"<{len(samples)}h", *samples)
    header = struct.pack("<4sI4s", b"RIFF", UNKNOWN, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return header + form + struct.pack("<4sI", b"data", len(data) if declared is None else declared) + data


def test_a_square_wave_at_half_scale_is_six_decibels_down() -> None:
    recording = examine(wav([16_384, -16_384] * 11_025))
    assert (recording.seconds, recording.sample_rate_hz) == (1.0, 22_050)
    assert recording.loudness_dbfs == pytest.approx(-6.02, abs=0.01)


def test_a_streamed_file_goes_to_its_end() -> None:
    assert examine(wav([100] * 24_000, rate=24_000, declared=UNKNOWN)).seconds == 1.0


def test_silence_has_no_loudness() -> None:
    assert examine(wav([0] * 10)).loudness_dbfs == -math.inf


def test_anything_else_is_refused() -> None:
    with pytest.raises(ClusterError, match="not a WAV file"):
        examine(b'{"error": {"message": "no"}}')


def test_why_pods_do_not_run_is_said_once_for_each_cause() -> None:
    pulling = {"reason": "ImagePullBackOff", "message": "no such host"}
    pods: list[dict[str, Any]] = [
        {"status": {"containerStatuses": [{"state": {"waiting": pulling}}]}},
        {"status": {"containerStatuses": [{"state": {"waiting": pulling}}, {"state": {"running": {}}}]}},
        {"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}},
        {"status": {}},
    ]
    assert reasons(pods) == ["ImagePullBackOff: no such host", "ContainerCreating"]


def test_the_last_lines_work_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exports, *others = commands(Path("my cluster/kubeconfig")).splitlines()
    words = shlex.split(exports)
    assert words[:2] == ["export", f"KUBECONFIG={tmp_path}/my cluster/kubeconfig"]
    *folders, rest = words[2].removeprefix("PATH=").split(":")
    assert [Path(folder).is_absolute() for folder in folders] == [True, True]
    assert rest == "$PATH"
    assert (Path(folders[1]) / "kubectl-tts").exists()
    assert "build/" not in "".join(others)
