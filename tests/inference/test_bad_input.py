"""What a service must survive: images of any size and type, numbers that are none, nothing at all, very much."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.base.preprocess import grey_square
from mien.inference.predictor import load
from support import raises


@pytest.fixture(scope="module")
def classifier(tiny_run):
    return load(tiny_run.path)


@pytest.fixture
def face(faces):
    return np.asarray(faces.images[3])


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 64), (300, 200), (48, 48, 4), (48, 48, 1), (1, 2000)])
def test_images_of_any_size_are_read_as_the_square_they_become(classifier, shape):
    """Oracle: the grey square made by hand."""
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected = classifier.probabilities(grey_square(image, 48)[None])[0]
    assert classifier.predict_crops(image)[0].probability_vector == pytest.approx(expected, abs=1e-9)
    assert classifier.predict_crops([image])[0].probability_vector == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_numbers_are_one_clear_error(classifier, face, strange):
    values = face.astype(np.float32)
    values[5, 5] = strange
    with raises(DataError, "image-dtype") as caught:
        classifier.predict_crops(values)
    assert str(caught.value).startswith("image 1: ")
    with raises(DataError, "image-dtype") as caught:
        classifier.predict_crops([face, values])
    assert str(caught.value).startswith("image 2: ")
    with raises(DataError, "image-not-finite"):
        classifier.predict_crops(Image.fromarray(values))
    with raises(DataError, "crops-dtype"):
        classifier.probabilities(values[None])
    with raises(DataError, "crops-dtype"):
        classifier.features(values[None])


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.int8, np.bool_, "U1", object])
def test_arrays_of_another_type_are_one_clear_error(classifier, face, dtype):
    with raises(DataError, "image-dtype"):
        classifier.predict_crops((face % 2).astype(dtype))
    with raises(DataError, "crops-dtype"):
        classifier.probabilities((face % 2).astype(dtype)[None])


def test_nothing_gives_nothing(classifier):
    empty = np.empty((0, 48, 48), np.uint8)
    assert classifier.predict_crops([]) == []
    assert classifier.predict_crops(empty) == []
    assert list(classifier.stream(iter(()), crops=True)) == []
    assert classifier.probabilities(empty).shape == (0, 7)


def test_faces_of_another_size_are_an_error_where_squares_are_promised(classifier):
    for shape in ((2, 44, 44), (48, 48), (1, 48, 48, 3)):
        with raises(DataError, "crops-shape"):
            classifier.probabilities(np.zeros(shape, np.uint8))


def test_a_hundred_thousand_faces_take_the_memory_of_their_answers(classifier, face, monkeypatch):
    """The network is left out: what is held beside it must not grow with the number of faces."""

    class Session:
        get_outputs = staticmethod(classifier._session.get_outputs)

        def run(self, names, feeds):
            assert feeds["images"].shape[0] <= 64
            return [np.zeros((len(feeds["images"]), 7), np.float32)]

    quick = classifier.for_labels()
    quick._session = Session()
    many = np.broadcast_to(face, (100_000, 48, 48))
    quick.probabilities(many[:64])
    tracemalloc.start()
    answers = quick.probabilities(many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answers.shape == (100_000, 7)
    assert peak < 2.5 * answers.nbytes + 10e6
