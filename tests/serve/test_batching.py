"""Oracle of the batches: the same function on each request's faces alone."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mien.serve.batching import MAX_BATCH_FACES, MicroBatcher


def classify(crops):
    """Each face's mean and deviation."""
    return np.array([[face.mean(), face.std()] for face in crops]).reshape(-1, 2)


def ask_all(batcher, requests, threads):
    """Put every request from its own task through a pool, as the service does; their results in order."""

    async def main():
        loop = asyncio.get_running_loop()
        items = [(crops, loop.create_future()) for crops in requests]
        with ThreadPoolExecutor(threads) as pool:
            for item in items:
                pool.submit(batcher.put, *item)
            async with asyncio.timeout(60):
                return await asyncio.gather(*(result for _, result in items), return_exceptions=True)

    return asyncio.run(main())


@pytest.mark.parametrize("runs", [1, 3])
def test_every_request_gets_its_own_faces_back(runs):
    random = np.random.default_rng(0)
    requests = [random.integers(0, 256, (random.integers(0, 9), 6, 6), dtype=np.uint8) for _ in range(500)]
    sizes, free = [], threading.Semaphore(runs)

    def counted_classify(crops):
        assert free.acquire(blocking=False), "more runs at a time than allowed"
        result = classify(crops)
        free.release()
        return result

    batcher = MicroBatcher(counted_classify, runs, sizes.append)
    results = ask_all(batcher, requests, threads=8)
    for crops, result in zip(requests, results, strict=True):
        np.testing.assert_array_equal(result, classify(crops))
    assert sum(sizes) == sum(len(each) for each in requests)
    assert max(sizes) < MAX_BATCH_FACES + 9


def test_an_image_without_a_face_counts_as_no_run():
    sizes = []
    (result,) = ask_all(MicroBatcher(classify, 1, sizes.append), [np.zeros((0, 6, 6), np.uint8)], threads=1)
    assert result.shape == (0, 2)
    assert sizes == []


def test_faces_that_arrive_during_a_run_share_the_next_one():
    begun, go_on, sizes = threading.Event(), threading.Event(), []

    def blocked_classify(crops):
        begun.set()
        go_on.wait()
        return classify(crops)

    async def main():
        loop = asyncio.get_running_loop()
        batcher = MicroBatcher(blocked_classify, 1, sizes.append)
        items = [(np.full((1, 2, 2), number, np.uint8), loop.create_future()) for number in range(11)]
        first = loop.run_in_executor(None, batcher.put, *items[0])
        begun.wait()
        for item in items[1:]:
            batcher.put(*item)  # returns at once, although the only run is blocked
        items[5][1].cancel()  # its client closed the connection
        go_on.set()
        await first
        answers = await asyncio.gather(*(result for _, result in items), return_exceptions=True)
        assert isinstance(answers.pop(5), asyncio.CancelledError)
        assert [answer[0, 0] for answer in answers] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]

    asyncio.run(main())
    assert sizes == [1, 10]


def test_the_error_of_a_run_reaches_the_requests_of_that_run_only():
    calls = []

    def classify_twice(crops):
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("broken")
        return classify(crops)

    batcher = MicroBatcher(classify_twice, 1, lambda faces: None)
    face = np.zeros((1, 2, 2), np.uint8)
    (failed,) = ask_all(batcher, [face], threads=1)
    assert isinstance(failed, ValueError)
    (fine,) = ask_all(batcher, [face], threads=1)
    np.testing.assert_array_equal(fine, [[0, 0]])
