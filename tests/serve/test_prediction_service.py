"""Limits of time and concurrency, with a detector that waits."""

import asyncio
import io
import re
import threading

import numpy as np
import pytest
from PIL import Image

from mien.data.synthetic import synthetic_faces
from mien.faces.haar import HaarDetector
from mien.inference.predictor import load
from mien.serve.api_errors import ApiError, ErrorResponse
from mien.serve.limits import Limits
from mien.serve.prediction_service import PredictionService
from mien.serve.prometheus import ServiceMetrics
from mien.serve.schemas import ModelName, PredictParameters
from support import raises


class Slow(HaarDetector):
    """Blocks until ``go_on`` is set, then finds no face."""

    def __init__(self):
        super().__init__()
        self.go_on = threading.Event()
        self.widths = []

    def detect(self, rgb):
        self.widths.append(rgb.shape[1])
        assert self.go_on.wait(30)
        return []


@pytest.fixture
def slow():
    detector = Slow()
    limits = Limits(max_requests=3)
    service = PredictionService(load(threads=1), ModelName(name="a", sha256="b"), detector, limits, 1, ServiceMetrics())
    yield service, detector
    detector.go_on.set()
    service.stop()


def test_an_image_that_takes_too_long_is_given_up(slow, face):
    service, detector = slow

    async def main():
        query = service.query(PredictParameters())
        until = asyncio.get_running_loop().time() + 0.3
        # One thread, and one more that decodes while it runs the network: the third image is not begun.
        answers = [asyncio.ensure_future(service.predict(face, query, until)) for _ in range(3)]
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert [each.code for each in results] == ["too-much-work", "too-much-work", "busy"]
        detector.go_on.set()
        answer = await service.predict(face, query, asyncio.get_running_loop().time() + 30)
        assert answer.faces == []

    asyncio.run(main())


def test_an_image_that_mostly_waited_is_busy_not_too_much_work(slow, face, monkeypatch):
    """It is begun, but only after the images of others have taken most of its time."""
    service, detector = slow
    gates = [threading.Event() for _ in range(3)]

    def detect(rgb):
        detector.widths.append(0)
        gates[len(detector.widths) - 1].wait(30)
        return []

    monkeypatch.setattr(detector, "detect", detect)

    async def main():
        query, now = service.query(PredictParameters()), asyncio.get_running_loop().time()
        others = [asyncio.ensure_future(service.predict(face, query, now + 30)) for _ in range(2)]
        last = asyncio.ensure_future(service.predict(face, query, now + 1.0))
        await asyncio.sleep(0.8)
        gates[0].set()
        with pytest.raises(ApiError) as refused:
            await last
        for gate in gates:
            gate.set()
        await asyncio.gather(*others)
        return refused.value.code

    assert asyncio.run(main()) == "busy"


def test_a_stopped_service_begins_no_further_image(slow, face):
    """Oracle: how many the detector was shown; two are under way, and one has to wait."""
    service, detector = slow

    async def main():
        query, until = service.query(PredictParameters()), asyncio.get_running_loop().time() + 30
        answers = [asyncio.ensure_future(service.predict(face, query, until)) for _ in range(3)]
        while len(detector.widths) < 2:
            await asyncio.sleep(0.001)
        threading.Timer(0.1, detector.go_on.set).start()
        assert service.is_ready
        service.stop()
        assert not service.is_ready
        done = await asyncio.gather(*answers[:2])
        answers[2].cancel()
        return done

    assert [each.faces for each in asyncio.run(main())] == [[], []]
    assert len(detector.widths) == 2


def test_a_batch_whose_pixels_are_not_counted_in_time_is_busy(slow, face):
    """The images of others hold all threads until after its deadline."""
    service, detector = slow

    async def main():
        query, now = service.query(PredictParameters()), asyncio.get_running_loop().time()
        others = [asyncio.ensure_future(service.predict(face, query, now + 30)) for _ in range(2)]
        while len(detector.widths) < 2:
            await asyncio.sleep(0.001)
        with raises(ApiError, "busy"):
            await service.predict_batch([face], query, asyncio.get_running_loop().time() + 0.3)
        detector.go_on.set()
        await asyncio.gather(*others)

    asyncio.run(main())


def code(result):
    """The code of a result that is an error."""
    return result.error.code if isinstance(result, ErrorResponse) else None


def png(width, height):
    stream = io.BytesIO()
    Image.new("L", (width, height)).save(stream, "PNG")
    return stream.getvalue()


def test_a_batch_lets_other_requests_have_their_turn(slow):
    """The order in which images are begun: those of the batch are 100 wide, the other client's is 48 wide."""
    service, detector = slow

    async def main():
        query, until = service.query(PredictParameters()), asyncio.get_running_loop().time() + 30
        batch = asyncio.ensure_future(service.predict_batch([png(100, 100)] * 20, query, until))
        while len(detector.widths) < 2:
            await asyncio.sleep(0.001)
        other = asyncio.ensure_future(service.predict(png(48, 48), query, until))
        await asyncio.sleep(0)  # it is in the queue
        detector.go_on.set()
        assert (await other).image.width == 48
        results = await batch
        assert [each.image.width for each in results] == [100] * 20

    asyncio.run(main())
    # Third in the queue; on a busy machine the thread that took it may be overtaken before it gets to the detector.
    assert 2 <= detector.widths.index(48) < 10


def test_images_that_a_batch_has_no_time_for_have_an_error_in_their_place(slow):
    service, detector = slow

    async def main():
        until = asyncio.get_running_loop().time() + 1.5  # begun well before half of it, on a busy machine too
        results = await service.predict_batch([png(100, 100)] * 4, service.query(PredictParameters()), until)
        assert [each.error.code for each in results] == ["too-much-work"] * 4

    asyncio.run(main())
    assert len(detector.widths) == 2


def test_the_pixels_of_a_request_are_bounded_before_one_is_decoded(slow):
    service, detector = slow
    detector.go_on.set()
    service._limits = Limits(max_pixels=500, max_request_pixels=1000)
    fits = [png(25, 20), png(20, 25), png(25, 21), b"no image"]

    async def main():
        query, until = service.query(PredictParameters()), asyncio.get_running_loop().time() + 30
        results = await service.predict_batch(fits, query, until)
        assert [code(each) for each in results] == [None, None, "image-pixels", "image-format"]
        with raises(ApiError, "image-pixels") as refused:
            await service.predict_batch([*fits, png(1, 1)], query, until)
        assert refused.value.status == 413
        assert re.findall(r"\d,\d+", str(refused.value)) == ["1,001", "1,000"]

    asyncio.run(main())
    assert len(detector.widths) == 2


def test_faces_that_arrive_while_the_network_runs_share_one_run(face):
    """The first run is held until all others are decoded. The oracle of each answer is the model on that face alone."""
    classifier, metrics = load(threads=1), ServiceMetrics()
    alone, go_on = classifier.probabilities, threading.Event()

    def held(crops):
        assert go_on.wait(30)
        return alone(crops)

    classifier.probabilities = held
    service = PredictionService(classifier, ModelName(name="a", sha256="b"), HaarDetector(), Limits(), 1, metrics)
    faces = synthetic_faces(11, seed=4).images[:11]

    def encoded(pixels):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        return stream.getvalue()

    async def main():
        query, until = service.query(PredictParameters(crops=True)), asyncio.get_running_loop().time() + 30
        answers = [asyncio.ensure_future(service.predict(encoded(each), query, until)) for each in faces]
        while len(service._batchers[classifier.output.name]._pending) < 10:
            await asyncio.sleep(0.001)
        go_on.set()
        return await asyncio.gather(*answers)

    answers = asyncio.run(main())
    service.stop()
    for answer, pixels in zip(answers, faces, strict=True):
        found = list(answer.faces[0].probabilities.values())
        np.testing.assert_allclose(found, alone(pixels[np.newaxis])[0], atol=1e-6)
    count, total = (metrics.registry.get_sample_value(f"mien_batch_faces_{part}") for part in ("count", "sum"))
    assert (count, total) == (2, 11)


def test_slots_are_counted_and_given_back(slow):
    service, _ = slow
    with service.slot(), service.slot():
        with pytest.raises(KeyError), service.slot():
            raise KeyError
        with service.slot(), pytest.raises(ApiError) as refused, service.slot():
            pass
    assert refused.value.status == 429
    assert refused.value.response({}).headers["retry-after"] == "1"
    with service.slot(), service.slot(), service.slot():
        pass


def test_a_defect_reaches_the_request_and_not_the_threads(slow, face, monkeypatch):
    service, detector = slow
    monkeypatch.setattr(detector, "detect", lambda rgb: 1 / 0)

    async def main():
        until = asyncio.get_running_loop().time() + 30
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                await service.predict(face, service.query(PredictParameters()), until)
        assert (await service.predict(face, service.query(PredictParameters(crops=True)), until)).faces_found == 1

    asyncio.run(main())


def test_a_defect_in_one_image_of_a_batch_is_an_error_in_its_place(slow, face, monkeypatch):
    service, detector = slow
    seen = []

    def detect(rgb):
        seen.append(1)
        if len(seen) == 2:
            raise MemoryError
        return []

    monkeypatch.setattr(detector, "detect", detect)

    async def main():
        until = asyncio.get_running_loop().time() + 30
        return await service.predict_batch([face, face, face], service.query(PredictParameters()), until)

    answers = asyncio.run(main())
    assert sorted(code(each) or "" for each in answers) == ["", "", "internal"]


def test_a_request_chooses_the_output(voted_run, face):
    """Oracle: Predictor.predict with each output."""
    classifier = load(voted_run.path, threads=1)
    service = PredictionService(
        classifier, ModelName(name="a", sha256="b"), HaarDetector(), Limits(), 1, ServiceMetrics()
    )

    async def main():
        until = asyncio.get_running_loop().time() + 60
        found = {}
        for name in (None, "perceived", "fer2013"):
            query = service.query(PredictParameters(crops=True, output=name))
            (found[name],) = (await service.predict(face, query, until)).faces
        return found

    found = asyncio.run(main())
    service.stop()
    for name, answer in found.items():
        expected = classifier.with_output(name).predict_crops(face)[0].to_dict()
        assert answer.model_dump(exclude_none=True) == expected | {"source": "image 1"}
    assert (found[None].output, found["fer2013"].unsure) == ("perceived", None)
    with raises(ApiError, "bad-parameter"):
        service.query(PredictParameters(output="feeling"))
