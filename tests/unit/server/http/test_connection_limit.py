"""Which connection is closed for a new one."""

from dataclasses import dataclass

from tts_server.http.connection_limit import UNREAD_BYTES, ConnectionLimit


@dataclass(eq=False)
class Idle:
    """A connection; `reading`: its client still reads a response."""

    reading: bool = False
    closed: bool = False

    def close_idle(self) -> bool:
        self.closed = not self.reading
        return self.closed


def test_the_one_that_has_been_idle_longest_is_closed() -> None:
    limit = ConnectionLimit(most=3)
    first, second, third, fourth, fifth = connections = [Idle() for _ in range(5)]
    for connection in (first, second, third):
        assert limit.admit(connection)
    limit.busy(first)
    limit.idle(first)  # its last request is the youngest
    assert limit.admit(fourth)
    assert limit.admit(fifth)
    assert [connection.closed for connection in connections] == [False, True, True, False, False]
    assert len(limit) == 3


def test_no_request_is_cut_for_a_new_connection() -> None:
    limit = ConnectionLimit(most=2)
    busy, reading, newcomer = Idle(), Idle(reading=True), Idle()
    assert limit.admit(busy)
    assert limit.admit(reading)
    limit.busy(busy)
    assert not limit.admit(newcomer)
    assert not busy.closed
    limit.remove(busy)
    assert limit.admit(newcomer)


def test_what_is_lost_is_no_longer_counted_whatever_ends_after_it() -> None:
    limit = ConnectionLimit(most=1)
    lost = Idle()
    assert limit.admit(lost)
    limit.busy(lost)
    limit.remove(lost)
    limit.idle(lost)  # its response ends after the connection
    assert len(limit) == 0
    assert limit.admit(Idle())
    assert not lost.closed


def test_bodies_wait_up_to_a_sum_and_are_counted_once_it_may_be_reached() -> None:
    limit = ConnectionLimit()
    counts: list[int] = []

    def unread(found: int) -> int:
        counts.append(found)
        return found

    assert limit.takes_body(UNREAD_BYTES, lambda: unread(-1))
    assert counts == []
    assert limit.takes_body(1, lambda: unread(1)), "the routes have read the others"
    assert not limit.takes_body(UNREAD_BYTES, lambda: unread(UNREAD_BYTES + 1))
    assert limit.takes_body(10, lambda: unread(10))
    assert counts == [1, UNREAD_BYTES + 1, 10]
