"""Limits of time and concurrency, with a detector that waits."""

import asyncio
import io
import threading

import numpy as np
import pytest
from PIL import Image

from mien.data.synthetic import synthetic_faces
from mien.faces.haar import HaarDetector
from mien.inference.classifier import load
from mien.serve.limits import Limits
from mien.serve.metrics import Metrics
from mien.serve.reading import Reader
from mien.serve.refusals import RefusedError
from mien.serve.schemas import ModelName, Wishes


class Slow(HaarDetector):
    """Finds nothing until it is let go."""

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
    reader = Reader(load(threads=1), ModelName(name="a", sha256="b"), detector, limits, 1, Metrics())
    yield reader, detector
    detector.go_on.set()
    reader.stop()


def test_a_picture_that_takes_too_long_is_given_up(slow, face):
    reader, detector = slow

    async def main():
        plan = reader.plan(Wishes())
        until = asyncio.get_running_loop().time() + 0.3
        # One thread, and one more that decodes while it runs the network: the third picture is not begun.
        answers = [asyncio.ensure_future(reader.read(face, plan, until)) for _ in range(3)]
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert [each.code for each in results] == ["too_much_work", "too_much_work", "busy"]
        detector.go_on.set()
        answer = await reader.read(face, plan, asyncio.get_running_loop().time() + 30)
        assert answer["faces"] == []

    asyncio.run(main())


def test_a_picture_that_waited_longer_than_it_was_worked_on_is_told_to_come_again(slow, face, monkeypatch):
    """It is begun, but only when the others' pictures have taken most of its time."""
    reader, detector = slow
    gates = [threading.Event() for _ in range(3)]

    def detect(rgb):
        detector.widths.append(0)
        gates[len(detector.widths) - 1].wait(30)
        return []

    monkeypatch.setattr(detector, "detect", detect)

    async def main():
        plan, now = reader.plan(Wishes()), asyncio.get_running_loop().time()
        others = [asyncio.ensure_future(reader.read(face, plan, now + 30)) for _ in range(2)]
        last = asyncio.ensure_future(reader.read(face, plan, now + 1.0))
        await asyncio.sleep(0.8)
        gates[0].set()
        with pytest.raises(RefusedError) as refused:
            await last
        for gate in gates:
            gate.set()
        await asyncio.gather(*others)
        return refused.value.code

    assert asyncio.run(main()) == "busy"


def test_who_stops_begins_no_further_picture(slow, face):
    """Oracle: how many the detector was shown; two are under way, and one has to wait."""
    reader, detector = slow

    async def main():
        plan, until = reader.plan(Wishes()), asyncio.get_running_loop().time() + 30
        answers = [asyncio.ensure_future(reader.read(face, plan, until)) for _ in range(3)]
        while len(detector.widths) < 2:
            await asyncio.sleep(0.001)
        threading.Timer(0.1, detector.go_on.set).start()
        assert reader.is_ready
        reader.stop()
        assert not reader.is_ready
        done = await asyncio.gather(*answers[:2])
        answers[2].cancel()
        return done

    assert [each["faces"] for each in asyncio.run(main())] == [[], []]
    assert len(detector.widths) == 2


def png(width, height):
    stream = io.BytesIO()
    Image.new("L", (width, height)).save(stream, "PNG")
    return stream.getvalue()


def test_a_batch_leaves_others_their_turn(slow):
    """The order in which pictures are begun: those of the batch are 100 wide, the other client's is 48 wide."""
    reader, detector = slow

    async def main():
        plan, until = reader.plan(Wishes()), asyncio.get_running_loop().time() + 30
        batch = asyncio.ensure_future(reader.read_all([png(100, 100)] * 20, plan, until))
        while len(detector.widths) < 2:
            await asyncio.sleep(0.001)
        other = asyncio.ensure_future(reader.read(png(48, 48), plan, until))
        await asyncio.sleep(0)  # it is in the queue
        detector.go_on.set()
        assert (await other)["picture"]["width"] == 48
        results = await batch
        assert [each["picture"]["width"] for each in results] == [100] * 20

    asyncio.run(main())
    # Third in the queue; on a busy machine the thread that took it may be overtaken before it gets to the detector.
    assert 2 <= detector.widths.index(48) < 10


def test_what_a_batch_has_no_time_for_is_said_in_its_place(slow):
    reader, detector = slow

    async def main():
        until = asyncio.get_running_loop().time() + 0.3
        results = await reader.read_all([png(100, 100)] * 4, reader.plan(Wishes()), until)
        assert [each["error"]["code"] for each in results] == ["too_much_work"] * 4

    asyncio.run(main())
    assert len(detector.widths) == 2


def test_the_pixels_of_a_request_are_bounded_before_one_is_decoded(slow):
    reader, detector = slow
    detector.go_on.set()
    reader._limits = Limits(max_pixels=500, max_request_pixels=1000)
    fits = [png(25, 20), png(20, 25), png(25, 21), b"no image"]

    async def main():
        plan, until = reader.plan(Wishes()), asyncio.get_running_loop().time() + 30
        results = await reader.read_all(fits, plan, until)
        assert [each.get("error", {}).get("code") for each in results] == [
            None,
            None,
            "too_many_pixels",
            "not_an_image",
        ]
        with pytest.raises(RefusedError, match=r"1,001 pixels in all; at most 1,000") as refused:
            await reader.read_all([*fits, png(1, 1)], plan, until)
        assert refused.value.status == 413

    asyncio.run(main())
    assert len(detector.widths) == 2


def test_faces_that_come_while_the_network_runs_are_one_run(face):
    """The first run is held until all others are decoded. The oracle of each answer is the model on that face alone."""
    classifier, metrics = load(threads=1), Metrics()
    alone, go_on = classifier.probabilities, threading.Event()

    def held(squares):
        assert go_on.wait(30)
        return alone(squares)

    classifier.probabilities = held
    reader = Reader(classifier, ModelName(name="a", sha256="b"), HaarDetector(), Limits(), 1, metrics)
    faces = synthetic_faces(11, seed=4).images[:11]

    def encoded(pixels):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        return stream.getvalue()

    async def main():
        plan, until = reader.plan(Wishes(crops=True)), asyncio.get_running_loop().time() + 30
        answers = [asyncio.ensure_future(reader.read(encoded(each), plan, until)) for each in faces]
        while len(reader._batcher._waiting) < 10:
            await asyncio.sleep(0.001)
        go_on.set()
        return await asyncio.gather(*answers)

    answers = asyncio.run(main())
    reader.stop()
    for answer, pixels in zip(answers, faces, strict=True):
        found = list(answer["faces"][0]["probabilities"].values())
        np.testing.assert_allclose(found, alone(pixels[np.newaxis])[0], atol=1e-6)
    count, total = (metrics.registry.get_sample_value(f"mien_batch_faces_{part}") for part in ("count", "sum"))
    assert (count, total) == (2, 11)


def test_slots_are_counted_and_given_back(slow):
    reader, _ = slow
    with reader.slot(), reader.slot():
        with pytest.raises(KeyError), reader.slot():
            raise KeyError
        with reader.slot(), pytest.raises(RefusedError) as refused, reader.slot():
            pass
    assert refused.value.status == 429
    assert refused.value.response().headers["retry-after"] == "1"
    with reader.slot(), reader.slot(), reader.slot():
        pass


def test_a_defect_reaches_the_request_and_not_the_threads(slow, face, monkeypatch):
    reader, detector = slow
    monkeypatch.setattr(detector, "detect", lambda rgb: 1 / 0)

    async def main():
        until = asyncio.get_running_loop().time() + 30
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                await reader.read(face, reader.plan(Wishes()), until)
        assert (await reader.read(face, reader.plan(Wishes(crops=True)), until))["faces_found"] == 1

    asyncio.run(main())


def test_a_defect_in_one_picture_of_a_batch_is_said_in_its_place(slow, face, monkeypatch):
    reader, detector = slow
    seen = []

    def detect(rgb):
        seen.append(1)
        if len(seen) == 2:
            raise MemoryError
        return []

    monkeypatch.setattr(detector, "detect", detect)

    async def main():
        until = asyncio.get_running_loop().time() + 30
        return await reader.read_all([face, face, face], reader.plan(Wishes()), until)

    answers = asyncio.run(main())
    assert sorted(each.get("error", {}).get("code", "") for each in answers) == ["", "", "internal"]
