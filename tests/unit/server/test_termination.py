"""The last words of a container: where the kubelet looks for them, and nowhere else."""

from pathlib import Path

from tts_server.termination import MAX_BYTES, write_termination_message


def test_the_message_replaces_what_was_there(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.write_text("something longer than the new one")
    write_termination_message("heart.onnx does not exist", log)
    assert log.read_text() == "heart.onnx does not exist"


def test_the_message_has_an_end(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    write_termination_message("x" * 10_000, log)
    assert len(log.read_bytes()) == MAX_BYTES


def test_without_a_kubelet_nothing_is_written(tmp_path: Path) -> None:
    write_termination_message("nobody reads this", tmp_path / "none")
    write_termination_message("nobody reads this", tmp_path)
    assert list(tmp_path.iterdir()) == []
