"""Limits of time and concurrency, with a detector that waits; batches of faces, with a function on each face."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest

from mien.data.synthetic import synthetic_faces
from mien.faces.haar import HaarDetector
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import load
from mien.serve.api_errors import ApiError
from mien.serve.limits import Limits
from mien.serve.metrics import ServiceMetrics
from mien.serve.prediction_service import MAX_BATCH_FACES, Admission, MicroBatcher, PredictionService, PredictQuery
from mien.serve.schemas import PredictParameters
from support import raises

QUERY = PredictQuery(FaceReader(load("fast-int8", threads=1)))


class Slow(HaarDetector):
    """Blocks until ``go_on`` is set, then finds no face."""

    def __init__(self):
        super().__init__()
        self.go_on = threading.Event()
        self.widths = []

    def detect(self, rgb):
        self.widths.append(rgb.shape[1])
        self.go_on.wait()
        return []


@pytest.fixture
def slow():
    """A service with a slow detector and one thread, and one more that decodes while it runs the network."""
    detector = Slow()
    service = PredictionService(
        load(threads=1), detector, Limits(max_requests=3, work_seconds=3600), 1, ServiceMetrics()
    )
    yield service, detector
    detector.go_on.set()
    service.stop()


@pytest.fixture
def expire(monkeypatch):
    """Ends the time of all images at once. No clock runs, however long that takes on a busy machine."""
    timeouts = []

    def timeout_at(deadline):
        timeouts.append(asyncio.Timeout(None))
        return timeouts[-1]

    monkeypatch.setattr(asyncio, "timeout_at", timeout_at)

    def expire():
        for timeout in timeouts:
            timeout.reschedule(asyncio.get_running_loop().time())

    return expire


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def codes(results):
    """The codes of results that are errors; None for others."""
    return [each.code if isinstance(each, ApiError) else None for each in results]


def test_an_image_that_takes_too_long_is_given_up_and_one_that_waits_is_busy(slow, face, expire):
    service, detector = slow

    async def main():
        query = service.query(PredictParameters())
        answers = [asyncio.ensure_future(service.predict([face], query)) for _ in range(3)]
        # The third image is not begun, since two threads are blocked.
        await until(lambda: len(detector.widths) == 2)
        expire()
        assert [code for each in answers for code in codes(await each)] == ["too-much-work", "too-much-work", "busy"]
        detector.go_on.set()
        (image,) = await service.predict([face], query)
        assert image.predictions == []

    asyncio.run(main())


def test_images_that_a_batch_has_no_time_for_have_an_error_in_their_place(slow, face, expire):
    service, detector = slow

    async def main():
        answer = asyncio.ensure_future(service.predict([face] * 4, service.query(PredictParameters())))
        await until(lambda: len(detector.widths) == 2)
        expire()
        assert codes(await answer) == ["too-much-work"] * 4

    asyncio.run(main())
    assert len(detector.widths) == 2


def test_a_stopped_service_begins_no_further_image(slow, face):
    """Oracle: how many the detector was shown; two are under way, and one has to wait."""
    service, detector = slow

    async def main():
        query = service.query(PredictParameters())
        answers = [asyncio.ensure_future(service.predict([face], query)) for _ in range(3)]
        await until(lambda: len(detector.widths) == 2)
        stopping = threading.Thread(target=service.stop)
        stopping.start()
        await until(lambda: service.pool._work_queue.qsize() <= 1 and service.pool._shutdown)
        detector.go_on.set()
        done = await asyncio.gather(*answers[:2])
        stopping.join()
        answers[2].cancel()
        return done

    assert [image.predictions for (image,) in asyncio.run(main())] == [[], []]
    assert len(detector.widths) == 2


def test_a_batch_lets_other_requests_have_their_turn(slow, encode):
    """The order in which images are begun: those of the batch are 100 wide, the other client's is 48 wide."""
    service, detector = slow
    large, small = encode(np.zeros((100, 100), np.uint8)), encode(np.zeros((48, 48), np.uint8))

    async def main():
        query = service.query(PredictParameters())
        batch = asyncio.ensure_future(service.predict([large] * 20, query))
        await until(lambda: len(detector.widths) == 2)
        other = asyncio.ensure_future(service.predict([small], query))
        await asyncio.sleep(0)  # it is in the queue
        detector.go_on.set()
        assert [image.detected.width for image in await other] == [48]
        assert [image.detected.width for image in await batch] == [100] * 20

    asyncio.run(main())
    # Third in the queue; on a busy machine the thread that took it may be overtaken before it gets to the detector.
    assert 2 <= detector.widths.index(48) < 10


def test_slots_are_counted_and_given_back(slow):
    service, _ = slow
    with service.slot(QUERY), service.slot(QUERY):
        with pytest.raises(KeyError), service.slot(QUERY):
            raise KeyError
        with service.slot(QUERY), raises(ApiError, "busy"), service.slot(QUERY):
            pass
    with service.slot(QUERY), service.slot(QUERY), service.slot(QUERY):
        pass


def test_a_defect_reaches_its_image_and_no_other(slow, face, monkeypatch):
    service, detector = slow
    seen = []

    def detect(rgb):
        seen.append(1)
        if len(seen) == 2:
            raise MemoryError
        return []

    monkeypatch.setattr(detector, "detect", detect)

    async def main():
        query = service.query(PredictParameters())
        assert sorted(map(str, codes(await service.predict([face] * 3, query)))) == ["None", "None", "internal"]
        assert codes(await service.predict([face], query)) == [None]

    asyncio.run(main())


def test_a_request_chooses_the_output(voted_run, face):
    """Oracle: Predictor.predict with each output."""
    classifier = load(voted_run.path, threads=1)
    service = PredictionService(classifier, HaarDetector(), Limits(work_seconds=3600), 1, ServiceMetrics())
    found = {}
    for name in (None, "perceived", "fer2013"):
        query = service.query(PredictParameters(crops=True, output=name))
        ((image,),) = [asyncio.run(service.predict([face], query))]
        (found[name],) = image.predictions
    service.stop()
    for name, answer in found.items():
        expected = classifier.with_output(name).predict_crops(face)[0].to_dict()
        assert answer.to_dict() == expected | {"source": "image 1"}
    assert (found[None].output, found["fer2013"].unsure) == ("perceived", None)
    with raises(ApiError, "bad-parameter"):
        service.query(PredictParameters(output="feeling"))


def test_faces_that_arrive_while_the_network_runs_share_one_run(encode):
    """The first run is held until all others are decoded. The oracle of each answer is the model on that face alone."""
    classifier, metrics = load(threads=1), ServiceMetrics()
    alone, go_on = classifier.probabilities, threading.Event()

    def held(crops):
        go_on.wait()
        return alone(crops)

    classifier.probabilities = held
    service = PredictionService(classifier, HaarDetector(), Limits(work_seconds=3600), 1, metrics)
    faces = synthetic_faces(11, seed=4).images[:11]

    async def main():
        query = service.query(PredictParameters(crops=True))
        answers = [asyncio.ensure_future(service.predict([encode(each)], query)) for each in faces]
        await until(lambda: len(service._batchers[classifier.output.name]._pending) == 10)
        go_on.set()
        return await asyncio.gather(*answers)

    answers = asyncio.run(main())
    service.stop()
    for (image,), pixels in zip(answers, faces, strict=True):
        found = image.predictions[0].probability_vector
        np.testing.assert_allclose(found, alone(pixels[np.newaxis])[0], atol=1e-6)
    count, total = (metrics.registry.get_sample_value(f"mien_batch_faces_{part}") for part in ("count", "sum"))
    assert (count, total) == (2, 11)


def classify(crops):
    """Each face's mean and deviation."""
    return np.array([[face.mean(), face.std()] for face in crops]).reshape(-1, 2)


def classify_all(batcher, requests, threads):
    """Put every request from its own task through a pool, as the service does; their results in order."""

    async def main():
        loop = asyncio.get_running_loop()
        items = [(crops, loop.create_future()) for crops in requests]
        with ThreadPoolExecutor(threads) as pool:
            for item in items:
                pool.submit(batcher.put, *item)
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

    results = classify_all(MicroBatcher(counted_classify, runs, sizes.append), requests, threads=8)
    for crops, result in zip(requests, results, strict=True):
        np.testing.assert_array_equal(result, classify(crops))
    assert sum(sizes) == sum(len(each) for each in requests)
    assert max(sizes) < MAX_BATCH_FACES + 9


def test_an_image_without_a_face_counts_as_no_run():
    sizes = []
    (result,) = classify_all(MicroBatcher(classify, 1, sizes.append), [np.zeros((0, 6, 6), np.uint8)], threads=1)
    assert result.shape == (0, 2)
    assert sizes == []


def test_a_client_that_went_away_leaves_the_batch_to_the_others():
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
    (failed,) = classify_all(batcher, [face], threads=1)
    assert isinstance(failed, ValueError)
    (fine,) = classify_all(batcher, [face], threads=1)
    np.testing.assert_array_equal(fine, [[0, 0]])


def test_a_request_waits_for_measured_work_and_no_longer():
    """Oracle: by hand. A photo takes 2 s, two threads work, and 5 s of work may be under way."""
    admission = Admission(Limits(wait_seconds=5), threads=2)
    admission.measured(False, 2.0)
    with ExitStack() as stack:
        for images in (1, 2, 3):
            stack.enter_context(admission.slot(False))(images)
        assert admission.wait_seconds == 6.0
        for crops in (False, True):
            with raises(ApiError, "busy") as caught, admission.slot(crops):
                pass
            assert caught.value.retry_seconds == 6
    assert (admission.requests, admission.wait_seconds) == (0, 0.0)
    with admission.slot(False) as count:
        count(64)
        admission.measured(False, 12.0)
        assert admission.wait_seconds == 64 * 3.0 / 2
    crops = Admission(Limits(max_requests=2), threads=1)
    with crops.slot(True), crops.slot(True), raises(ApiError, "busy") as caught, crops.slot(True):
        pass
    assert caught.value.retry_seconds == 1
