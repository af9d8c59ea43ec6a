"""Limits of time and concurrency, with a detector that waits."""

import asyncio
import threading

import numpy as np
import pytest
from PIL import Image

from mien.faces.face import Box
from mien.faces.find import YuNet, find_detector
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import load
from mien.serve import prediction_service
from mien.serve.limits import Limits
from mien.serve.metrics import ServiceMetrics
from mien.serve.prediction_service import PredictionService
from mien.serve.schemas import ApiError, FaceParameters, PredictParameters
from support import Fixed, encoded, png_of_size, raises


class Slow(YuNet):
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
    detector, limits = Slow(), Limits(max_requests=3, work_seconds=3600)
    service = PredictionService(load(threads=1), detector, limits, 1, ServiceMetrics())
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


def ask(service, files):
    parameters = FaceParameters()
    return service.predict(files, parameters, service.reader(parameters))


def codes(results):
    """The codes of results that are errors; None for others."""
    return [each.code if isinstance(each, ApiError) else None for each in results]


def test_images_time_out_as_too_much_work_or_busy(slow, face, expire):
    service, detector = slow

    async def main():
        answers = [asyncio.ensure_future(ask(service, [face])) for _ in range(3)]
        # The third image is not begun, since two threads are blocked.
        await until(lambda: len(detector.widths) == 2)
        expire()
        assert [code for each in answers for code in codes(await each)] == ["too-much-work", "too-much-work", "busy"]
        detector.go_on.set()
        (image,) = await ask(service, [face])
        assert image.response.faces == []

    asyncio.run(main())


def test_stopped_service_starts_no_further_image(slow, face):
    """Oracle: how many the detector was shown; two are under way, and one has to wait."""
    service, detector = slow

    async def main():
        answers = [asyncio.ensure_future(ask(service, [face])) for _ in range(3)]
        await until(lambda: len(detector.widths) == 2)
        stopping = threading.Thread(target=service.stop)
        stopping.start()
        await until(lambda: service.pool._work_queue.qsize() <= 1 and service.pool._shutdown)
        detector.go_on.set()
        done = await asyncio.gather(*answers[:2])
        stopping.join()
        answers[2].cancel()
        return done

    assert ([image.response.faces for (image,) in asyncio.run(main())], len(detector.widths)) == ([[], []], 2)


def test_batch_leaves_room_for_other_requests(slow):
    """The order in which images are begun: those of the batch are 100 wide, the other client's is 48 wide."""
    service, detector = slow
    large, small = encoded(np.zeros((100, 100), np.uint8)), encoded(np.zeros((48, 48), np.uint8))

    async def main():
        batch = asyncio.ensure_future(ask(service, [large] * 20))
        await until(lambda: len(detector.widths) == 2)
        other = asyncio.ensure_future(ask(service, [small]))
        await asyncio.sleep(0)  # it is in the queue
        detector.go_on.set()
        assert [each.response.image.width for each in (*await other, *await batch)] == [48, *[100] * 20]

    asyncio.run(main())
    # Third in the queue; on a busy machine the thread that took it may be overtaken before it gets to the detector.
    assert 2 <= detector.widths.index(48) < 10


def test_bug_affects_one_image_only(slow, face, monkeypatch):
    service, detector = slow
    outcomes = iter([[], None, [], []])

    def detect(rgb):
        if (faces := next(outcomes)) is None:
            raise MemoryError
        return faces

    monkeypatch.setattr(detector, "detect", detect)

    async def main():
        assert sorted(map(str, codes(await ask(service, [face] * 3)))) == ["None", "None", "internal"]
        assert codes(await ask(service, [face])) == [None]

    asyncio.run(main())


def test_request_chooses_the_output(voted_run, face):
    """Oracle: Predictor.predict with each output."""
    classifier = load(voted_run.path, threads=1)
    service, found = PredictionService(classifier, find_detector(), Limits(work_seconds=3600), 1, ServiceMetrics()), {}
    for name in (None, "perceived", "fer2013"):
        parameters = PredictParameters(output=name, crops=True)
        (image,) = asyncio.run(service.predict([face], parameters, service.reader(parameters)))
        (found[name],) = image.response.faces
    service.stop()
    for name, answer in found.items():
        (expected,) = classifier.with_output(name).predict_crops([face])
        assert answer.model_dump(exclude_none=True) == expected.to_dict()
    assert (found[None].output, found["fer2013"].unsure) == ("perceived", None)
    with raises(ApiError, "bad-parameter"):
        service.reader(FaceParameters(output="feeling"))


def test_request_over_the_limit_is_busy(slow):
    service, _ = slow
    with service.slot(), pytest.raises(KeyError), service.slot(), service.slot():
        assert b"mien_requests_under_way 3.0" in service._metrics.page()
        with raises(ApiError, "busy"), service.slot():
            pass
        raise KeyError
    assert b"mien_requests_under_way 0.0" in service._metrics.page()


def everywhere(count):
    return Fixed(*(Box(index, 0, 20, 20) for index in range(count)))


@pytest.fixture(scope="module")
def classifier():
    return load(threads=1)


@pytest.fixture
def predict(classifier):
    """The answer for a file; without a detector the file is a face crop."""

    def predict(data, detector=None, limits=Limits(), max_faces=None):  # noqa: B008
        reader = FaceReader(classifier, detector)
        named = {"crops": detector is None, "max_faces": max_faces}
        return prediction_service.predict_image(data, reader, limits, **named).response

    return predict


@pytest.fixture
def refusal(predict):
    """The code with which a file is refused."""

    def refusal(*arguments, **named):
        with pytest.raises(ApiError) as refused:
            predict(*arguments, **named)
        return refused.value.code

    return refusal


OTHERS = [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"PK\x03\x04", bytes(5000)]

NOT_SERVED = [encoded(Image.new("L", (9, 9)), kind) for kind in ("TIFF", "BMP", "PPM")]


@pytest.mark.parametrize("data", [b"hello", *OTHERS, *NOT_SERVED])
def test_predict_image_rejects_other_files_and_formats(refusal, data):
    assert refusal(data) == "image-format"


@pytest.mark.parametrize("size", [(5001, 5000), (10_000, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_predict_image_rejects_bombs_before_decoding(refusal, size, monkeypatch):
    monkeypatch.setattr(prediction_service, "open_image", None)
    assert refusal(png_of_size(*size)) == "image-pixels"
    with raises(ApiError, "image-pixels", "25,000,000"):
        prediction_service.check_image(png_of_size(*size), Limits())


def test_predict_image_limits_the_number_of_faces(predict, refusal):
    data = encoded(Image.new("L", (200, 50)))
    assert refusal(data, everywhere(101)) == "too-many-faces"
    assert refusal(data, everywhere(101), max_faces=101) == "too-many-faces"
    assert len(predict(data, everywhere(100)).faces) == 100
    seen = predict(data, everywhere(101), max_faces=3)
    assert ([each.box.left for each in seen.faces], seen.faces_found) == ([0, 1, 2], 101)


def test_predict_image_rejects_a_jpeg_with_many_scans(predict, refusal):
    """Each repeats a few bytes and costs a pass over all pixels."""
    plain = encoded(Image.new("L", (640, 480), 99), "JPEG", progressive=True)
    assert predict(plain).image.width == 640
    scan = plain.rindex(b"\xff\xda")
    end = plain.index(b"\xff\xd9", scan)
    with raises(ApiError, "too-much-work", "100"):
        predict(plain[:end] + 200 * plain[scan:end] + plain[end:])
    # ITU-T T.81, B.1.1.2: any marker may have any number of them before it.
    plain = encoded(Image.new("L", (64, 48), 99), "JPEG")
    assert refusal(plain[:-2] + 150 * b"\xff\xff\xff\xda\0\x02" + plain[-2:]) == "too-much-work"
    limits = Limits(max_pixels=600)
    assert predict(encoded(Image.new("L", (30, 20))), limits=limits).image.width == 30
    assert refusal(encoded(Image.new("L", (30, 21))), limits=limits) == "image-pixels"
