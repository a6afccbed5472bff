"""Coalesces identical requests: those that arrive while the same audio is being synthesized share that synthesis."""

from collections.abc import Callable

from tts_server.scheduling.fair_queue import Priority
from tts_server.synthesis.coalesced_stream import CoalescedStream, Subscriber


class Coalescer:
    """The streams of one snapshot that others may join, by cache key."""

    def __init__(self) -> None:
        self._streams: dict[str, CoalescedStream] = {}

    def __contains__(self, key: str) -> bool:
        stream = self._streams.get(key)
        return stream is not None and stream.joinable

    def __len__(self) -> int:
        return len(self._streams)

    def join(
        self, key: str, begin: Callable[[], CoalescedStream], priority: Priority = Priority.INTERACTIVE
    ) -> Subscriber:
        """Subscribe to the stream under `key`, or to a new one that `begin` makes. Raises what `begin` raises.

        A stream that an interactive request joins becomes interactive.
        """
        if key not in self:
            stream = self._streams[key] = begin()
            stream.when_over(lambda: self._forget(key, stream))
        elif priority is Priority.INTERACTIVE:
            self._streams[key].encoded.samples.promote()
        return self._streams[key].subscribe()

    def _forget(self, key: str, stream: CoalescedStream) -> None:
        if self._streams.get(key) is stream:
            del self._streams[key]
