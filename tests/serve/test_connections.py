"""Clients with idle connections, and clients that never read an answer. The others are served."""

import asyncio
import logging
import socket
import time
from contextlib import ExitStack, suppress

import pytest
import uvicorn
from uvicorn.server import ServerState

from mien.serve.connections import Connections, OncePerMinute, bounded_connections
from mien.serve.limits import Limits


def connect(service):
    return socket.create_connection(("127.0.0.1", service.port), timeout=20)


def until_cut(connection, data):
    """Send now and then until the other side has cut the connection; fails where it never does."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return
        time.sleep(0.05)
    pytest.fail("the connection was kept")


@pytest.mark.parametrize("sent", [b"", b"GET /heal"])
def test_a_connection_without_a_request_is_closed(strict, sent):
    with connect(strict) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_a_head_that_trickles_in_is_closed_too(strict):
    with connect(strict) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        until_cut(connection, b"x")


def test_the_head_of_a_second_request_is_timed_too(strict):
    with connect(strict) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        until_cut(connection, b"x")


def test_a_client_that_never_reads_its_answers_is_closed(strict):
    """More answers than the buffers of a socket hold."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", strict.port))
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 500)
        until_cut(connection, b"G")


class Taken:
    """A transport whose client takes as much as the test says."""

    def __init__(self):
        self.left, self.cut = 300_000, False

    def get_write_buffer_size(self):
        return self.left

    def get_extra_info(self, name, default=None):
        return default

    def set_write_buffer_limits(self, high):
        assert high == 0

    def is_closing(self):
        return self.cut

    def abort(self):
        self.cut = True


def test_a_slow_reader_has_time_while_it_goes_on():
    async def main():
        shared = Connections(max_connections=1, backlog=1, head_seconds=60, taken_bytes=65_536, taking_seconds=60)
        protocol = shared.protocol()(uvicorn.Config(None), ServerState(), {})
        transport = Taken()
        protocol.connection_made(transport)
        protocol.pause_writing()
        for left, cut in ((200_000, False), (100_000, False), (99_000, True)):
            transport.left = left
            protocol._check_taking()
            assert transport.cut == cut

    asyncio.run(main())


def test_the_time_to_take_an_answer_begins_anew_and_ends_when_all_is_taken():
    """Oracle: the timers, and whether uvicorn writes on."""

    async def main():
        shared = Connections(max_connections=1, backlog=1, head_seconds=60, taken_bytes=65_536, taking_seconds=60)
        protocol = shared.protocol()(uvicorn.Config(None), ServerState(), {})
        transport = Taken()
        protocol.connection_made(transport)
        protocol.pause_writing()
        first, transport.left = protocol._taking_timer, 200_000
        protocol._check_taking()
        second = protocol._taking_timer
        assert second is not first
        assert (second.cancelled(), protocol.flow.write_paused) == (False, True)
        protocol.resume_writing()
        assert (second.cancelled(), protocol.flow.write_paused) == (True, False)

    asyncio.run(main())


def test_a_head_has_one_time_limit_however_many_pieces_it_arrives_in():
    """Oracle: the timer that the connection began with is the one that runs; another would cut the next request."""

    async def main():
        shared = Connections(max_connections=1, backlog=1, head_seconds=60, taken_bytes=65_536, taking_seconds=60)
        protocol = shared.protocol()(uvicorn.Config(None), ServerState(), {})
        protocol.connection_made(Taken())
        timer = protocol._head_timer
        for piece in (b"GET /healthz HTTP/1.1\r\n", b"Host: 127.0.0.1\r\n"):
            protocol.data_received(piece)
            assert protocol._head_timer is timer
        protocol.connection_lost(ConnectionResetError())
        assert timer.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize(("body_seconds", "head_seconds"), [(2.0, 2.0), (60.0, Limits().head_seconds)])
def test_the_time_limit_of_a_head_is_at_most_that_of_a_body(body_seconds, head_seconds):
    assert bounded_connections(Limits(body_seconds=body_seconds)).head_seconds == head_seconds


@pytest.mark.parametrize(("files", "connections"), [(192, 64), (100_000, 1024)])
def test_connections_fit_the_files_that_may_be_open(monkeypatch, files, connections):
    """A third of the files, and in one turn of the loop no more than the rest has room for."""
    monkeypatch.setattr("mien.serve.connections._raise_file_limit", lambda most: files)
    found = bounded_connections(Limits())
    assert found.max_connections == connections
    assert 0 < found.backlog < files - 2 * connections


def test_silent_connections_leave_room_for_others(start):
    """Five times as many as the process may have. A client with a request takes the place of an idle one."""
    resource = pytest.importorskip("resource")
    service = start(before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (192, 192)))
    with ExitStack() as stack:
        for _ in range(320):
            stack.enter_context(connect(service)).sendall(b"GET /heal")
        began = time.monotonic()
        for _ in range(5):
            assert service.ask("GET", "/healthz").status_code == 200
        assert time.monotonic() - began < 8, "it was the limit of heads, 10 s, that made room"
        assert service.metric("process_open_fds") < 150
    assert len(service.said.read_text().splitlines()) == 1


def test_too_many_open_files_are_logged_once(caplog):
    logger = logging.getLogger("asyncio")
    only_once = OncePerMinute()
    logger.addFilter(only_once)
    try:
        for _ in range(1000):
            logger.error("socket.accept() out of system resource\nsocket: %s", "<socket>", exc_info=OSError("x"))
        logger.error("something else")
    finally:
        logger.removeFilter(only_once)
    assert [record.getMessage() for record in caplog.records] == [
        "No connection can be accepted: the process has too many open files.",
        "something else",
    ]
    assert caplog.records[0].exc_info is None
