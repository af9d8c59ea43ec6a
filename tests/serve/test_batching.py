"""Oracle of the batches: the same function on each request's faces alone."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mien.serve.batching import LARGEST, MicroBatcher, Waiting


def read(squares):
    """Each face's mean and deviation."""
    return np.array([[face.mean(), face.std()] for face in squares]).reshape(-1, 2)


def ask_all(batcher, requests, threads):
    """Put every request from its own task through a pool, as the service does; their results in order."""

    async def main():
        loop = asyncio.get_running_loop()
        items = [Waiting(squares, loop.create_future()) for squares in requests]
        with ThreadPoolExecutor(threads) as pool:
            for item in items:
                pool.submit(batcher.put, item)
            async with asyncio.timeout(60):
                return await asyncio.gather(*(item.answer for item in items), return_exceptions=True)

    return asyncio.run(main())


@pytest.mark.parametrize("runs", [1, 3])
def test_every_request_gets_its_own_faces_back(runs):
    random = np.random.default_rng(0)
    requests = [random.integers(0, 256, (random.integers(0, 9), 6, 6), dtype=np.uint8) for _ in range(500)]
    sizes, free = [], threading.Semaphore(runs)

    def counted_read(squares):
        assert free.acquire(blocking=False), "more runs at a time than allowed"
        result = read(squares)
        free.release()
        return result

    batcher = MicroBatcher(counted_read, runs, sizes.append)
    results = ask_all(batcher, requests, threads=8)
    for squares, result in zip(requests, results, strict=True):
        np.testing.assert_array_equal(result, read(squares))
    assert sum(sizes) == sum(len(each) for each in requests)
    assert max(sizes) < LARGEST + 9


def test_a_picture_without_a_face_counts_as_no_run():
    sizes = []
    (result,) = ask_all(MicroBatcher(read, 1, sizes.append), [np.zeros((0, 6, 6), np.uint8)], threads=1)
    assert result.shape == (0, 2)
    assert sizes == []


def test_what_comes_during_a_run_is_one_run_afterwards():
    begun, go_on, sizes = threading.Event(), threading.Event(), []

    def blocked_read(squares):
        begun.set()
        go_on.wait()
        return read(squares)

    async def main():
        loop = asyncio.get_running_loop()
        batcher = MicroBatcher(blocked_read, 1, sizes.append)
        items = [Waiting(np.full((1, 2, 2), number, np.uint8), loop.create_future()) for number in range(11)]
        first = loop.run_in_executor(None, batcher.put, items[0])
        begun.wait()
        for item in items[1:]:
            batcher.put(item)  # comes back at once, though the one run that there may be is blocked
        items[5].answer.cancel()  # its client went away
        go_on.set()
        await first
        answers = await asyncio.gather(*(item.answer for item in items), return_exceptions=True)
        assert isinstance(answers.pop(5), asyncio.CancelledError)
        assert [answer[0, 0] for answer in answers] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]

    asyncio.run(main())
    assert sizes == [1, 10]


def test_a_failed_run_is_told_to_those_who_wait_and_to_nobody_else():
    calls = []

    def read_twice(squares):
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("broken")
        return read(squares)

    batcher = MicroBatcher(read_twice, 1, lambda faces: None)
    face = np.zeros((1, 2, 2), np.uint8)
    (failed,) = ask_all(batcher, [face], threads=1)
    assert isinstance(failed, ValueError)
    (fine,) = ask_all(batcher, [face], threads=1)
    np.testing.assert_array_equal(fine, [[0, 0]])
