"""The names that engines of other packages import."""

from tts_server.engines import protocol


def test_earlier_names_of_the_engine_interface_are_still_importable() -> None:
    assert protocol.Sound == protocol.AudioSamples
    assert protocol.Words is protocol.BatchUtterance
