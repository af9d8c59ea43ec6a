"""Who is refused when many send at a time. Oracle: what the limits say, added up by hand."""

import asyncio
import time
from contextlib import ExitStack

import numpy as np
import pytest
from fastapi import Request

from mien.serve.form import _end, read_files
from mien.serve.limits import Limits
from mien.serve.metrics import Metrics
from mien.serve.refusals import RefusedError
from mien.serve.uploads import Uploads


@pytest.fixture
def metrics():
    return Metrics()


def held(metrics):
    return metrics.registry.get_sample_value("mien_held_bytes")


def test_the_largest_that_comes_in_makes_room_and_no_other(metrics):
    uploads = Uploads(Limits(max_requests=4, max_bytes=1000), metrics)
    cut = []
    with ExitStack() as stack:

        def begin(name, size):
            upload = stack.enter_context(uploads.begin())
            stack.enter_context(upload.coming_in(lambda: cut.append(name)))
            upload.take(size)
            return upload

        read = stack.enter_context(uploads.begin())
        read.take(1000)  # it has come in: it is being read, and no longer to be cut
        large = [begin(name, size) for name, size in (("a", 990), ("b", 1000), ("c", 980))]
        assert (cut, held(metrics)) == ([], 3970)
        small = begin("small", 500)
        assert (cut, held(metrics)) == (["b"], 3470)
        assert [each.refused for each in (read, *large, small)] == [False, False, True, False, False]
        begin("d", 600)
        assert (cut, held(metrics)) == (["b", "a"], 3080)
    assert held(metrics) == 0


def test_together_they_never_hold_more_than_all(metrics):
    uploads = Uploads(Limits(max_requests=8, max_bytes=1000), metrics)
    random = np.random.default_rng(0)
    with ExitStack() as stack:
        for _ in range(300):
            upload = stack.enter_context(uploads.begin())
            stack.enter_context(upload.coming_in(lambda: None))
            upload.take(int(random.integers(1, 1001)))
            assert held(metrics) <= 8000
        assert held(metrics) > 7000


async def body(uploads, chunks, limits):
    """Read a body whose parts come after so many seconds each, and then nothing more. Its seconds and its refusal."""
    left = iter(chunks)

    async def receive():
        seconds, part = next(left, (60, b""))
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": part, "more_body": True}

    headers = [(b"content-type", b"multipart/form-data; boundary=xx")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    began = time.monotonic()
    with uploads.begin() as upload, pytest.raises(RefusedError) as refused:
        await read_files(request, upload, limits, 1)
    return time.monotonic() - began, refused.value.code


def read(*arguments):
    return asyncio.run(body(*arguments))


HEAD = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


def test_a_body_that_stalls_is_given_up_before_its_whole_time_is_over(metrics):
    limits = Limits(body_seconds=30, part_seconds=0.2, part_bytes=1000)
    uploads = Uploads(limits, metrics)
    seconds, code = read(uploads, [(0, HEAD + bytes(100_000))], limits)
    assert code == "body_too_slow"
    assert seconds < 10
    # One that goes on is read for longer than that.
    seconds, code = read(uploads, [(0, HEAD), *[(0.05, bytes(1000))] * 12], limits)
    assert code == "body_too_slow"
    assert seconds > 0.6
    # One that trickles is not.
    seconds, code = read(uploads, [(0, HEAD), *[(0.05, b"x")] * 400], limits)
    assert code == "body_too_slow"
    assert seconds < 10
    assert held(metrics) == 0


def test_who_is_cut_for_want_of_room_is_told_to_come_again(metrics):
    limits = Limits(max_requests=1, max_bytes=1000)
    uploads = Uploads(limits, metrics)
    with uploads.begin() as other:
        other.take(900)
        assert read(uploads, [(0, HEAD + bytes(50))], limits)[1] == "busy"

        async def cut_while_waiting():
            asyncio.get_running_loop().call_later(0.1, other.take, 100)
            return await body(uploads, [(0, b"--xx\r\n")], limits)

        assert asyncio.run(cut_while_waiting())[1] == "busy"
    assert held(metrics) == 0


def test_whose_time_runs_out_in_the_turn_in_which_it_is_cut_costs_nobody_else():
    """Its timeout cannot be moved any more; that must not be told to the client whose bytes need the room."""

    async def main():
        async with asyncio.timeout(0) as patience:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                with pytest.raises(RuntimeError, match="expiring"):
                    patience.reschedule(0)
                _end(patience)
                raise

    with pytest.raises(TimeoutError):
        asyncio.run(main())
