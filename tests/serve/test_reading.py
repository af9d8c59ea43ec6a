"""Limits of time and concurrency, with a detector that waits."""

import asyncio
import threading

import pytest

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

    def detect(self, rgb):
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


def test_slots_are_counted_and_given_back(slow):
    reader, _ = slow
    with reader.slot(), reader.slot():
        with pytest.raises(KeyError), reader.slot():
            raise KeyError
        with reader.slot(), pytest.raises(RefusedError) as refused, reader.slot():
            pass
    assert refused.value.status == 429
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
