"""Which upload is refused when many arrive at a time. Oracle: the limits, added up by hand."""

import asyncio
import time
from contextlib import ExitStack

import numpy as np
import pytest
from fastapi import Request

from mien.serve.api_errors import ApiError
from mien.serve.limits import Limits
from mien.serve.prometheus import ServiceMetrics
from mien.serve.upload import Uploads, _expire


@pytest.fixture
def metrics():
    return ServiceMetrics()


def held(metrics):
    return metrics.registry.get_sample_value("mien_held_bytes")


def test_the_largest_arriving_upload_is_refused_and_no_other(metrics):
    uploads = Uploads(Limits(max_requests=4, max_bytes=1000), metrics)
    cut = []
    with ExitStack() as stack:

        def begin(name, size):
            upload = stack.enter_context(uploads.begin())
            uploads.arriving[upload] = lambda: cut.append(name)
            uploads.add(upload, size)
            return upload

        read = stack.enter_context(uploads.begin())
        uploads.add(read, 1000)  # it has arrived and is being processed, so it is not refused
        large = [begin(name, size) for name, size in (("a", 990), ("b", 1000), ("c", 980))]
        assert (cut, held(metrics)) == ([], 3970)
        small = begin("small", 500)
        assert (cut, held(metrics)) == (["b"], 3470)
        assert [each.refused for each in (read, *large, small)] == [False, False, True, False, False]
        begin("d", 600)
        assert (cut, held(metrics)) == (["b", "a"], 3080)
    assert (held(metrics), uploads.arriving) == (0, {})


def test_the_limit_of_all_uploads_is_exact(metrics):
    uploads = Uploads(Limits(max_requests=2, max_bytes=1000), metrics)
    with uploads.begin() as upload:
        uploads.arriving[upload] = lambda: None
        uploads.add(upload, 2000)
        assert not upload.refused
        uploads.add(upload, 1)
        assert upload.refused


def test_uploads_never_hold_more_than_the_limit(metrics):
    uploads = Uploads(Limits(max_requests=8, max_bytes=1000), metrics)
    random = np.random.default_rng(0)
    with ExitStack() as stack:
        for _ in range(300):
            upload = stack.enter_context(uploads.begin())
            uploads.arriving[upload] = lambda: None
            uploads.add(upload, int(random.integers(1, 1001)))
            assert held(metrics) <= 8000
        assert held(metrics) > 7000


async def body(uploads, chunks):
    """Read a body whose parts come after so many seconds each, and then nothing more. Its seconds and its refusal."""
    left = iter(chunks)

    async def receive():
        seconds, part = next(left, (60, b""))
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": part, "more_body": True}

    headers = [(b"content-type", b"multipart/form-data; boundary=xx")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    began = time.monotonic()
    with pytest.raises(ApiError) as refused:
        async with uploads.files(request, 1):
            pass
    return time.monotonic() - began, refused.value.code


def read(*arguments):
    return asyncio.run(body(*arguments))


HEAD = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


def test_a_body_that_stalls_is_given_up_before_its_whole_time_is_over(metrics):
    limits = Limits(body_seconds=30, part_seconds=0.2, part_bytes=1000)
    uploads = Uploads(limits, metrics)
    seconds, code = read(uploads, [(0, HEAD + bytes(100_000))])
    assert code == "body-too-slow"
    assert seconds < 10
    # One that goes on is read for longer than that.
    seconds, code = read(uploads, [(0, HEAD), *[(0.05, bytes(1000))] * 12])
    assert code == "body-too-slow"
    assert seconds > 0.6
    # One that trickles is not.
    seconds, code = read(uploads, [(0, HEAD), *[(0.05, b"x")] * 400])
    assert code == "body-too-slow"
    assert seconds < 10
    assert held(metrics) == 0


def test_a_body_is_refused_at_the_first_chunk_over_its_limit(metrics):
    """A chunk for which the length in advance, if any, was a lie. A body up to the limit is waited for."""
    uploads = Uploads(Limits(max_bytes=1000, body_seconds=0.2), metrics)
    rest = 1000 - len(HEAD)
    assert read(uploads, [(0, HEAD), (0, bytes(rest + 1))])[1] == "too-many-bytes"
    assert read(uploads, [(0, HEAD), (0, bytes(rest))])[1] == "body-too-slow"


def test_an_upload_refused_for_memory_is_busy(metrics):
    limits = Limits(max_requests=1, max_bytes=1000)
    uploads = Uploads(limits, metrics)
    with uploads.begin() as other:
        uploads.add(other, 900)
        assert read(uploads, [(0, HEAD + bytes(50))])[1] == "busy"

        async def cut_while_waiting():
            asyncio.get_running_loop().call_later(0.1, uploads.add, other, 100)
            return await body(uploads, [(0, b"--xx\r\n")])

        assert asyncio.run(cut_while_waiting())[1] == "busy"
    assert held(metrics) == 0


def test_a_timeout_that_expires_while_it_is_cut_raises_nothing_else():
    """It cannot be rescheduled any more. That error must not reach the client whose bytes need the memory."""

    async def main():
        async with asyncio.timeout(0) as timeout:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                with pytest.raises(RuntimeError, match="expiring"):
                    timeout.reschedule(0)
                _expire(timeout)
                raise

    with pytest.raises(TimeoutError):
        asyncio.run(main())
