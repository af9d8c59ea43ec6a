import io
import threading
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError, MienWarning, ModelError
from mien.base.model_file import attach_manifest
from mien.base.preprocess import grey_square
from mien.evaluation.calibration import softmax
from mien.inference.image_files import image_files
from mien.inference.onnx_classifier import BATCH
from mien.inference.predictor import load
from support import raises, warned


@pytest.fixture(scope="module")
def classifier(tiny_run):
    return load(tiny_run.path)


def test_a_prediction_at_the_prompt_is_one_short_line(astronaut):
    classifier = load("tiny")
    with warned("photo-as-crop", "image 1"):
        (prediction,) = classifier.predict_crops([Image.fromarray(astronaut)])
    file = io.BytesIO()
    Image.fromarray(astronaut).save(file, "PNG")
    file.seek(0)
    assert classifier.predict_crops([file])[0].top == prediction.top, "an open file can be read once"
    assert repr(prediction) == f"<Prediction {prediction.text!r} of {prediction.source}>"
    photo = next(iter(classifier.stream([astronaut], crops=True)))
    photo = replace(photo, rgb=astronaut)
    assert "array" not in repr(photo)
    assert len(repr(photo).splitlines()) == 1


def test_batches_do_not_change_the_answer(classifier, faces):
    images = np.asarray(faces.images[: 2 * BATCH + 3])
    together = classifier.probabilities(images)
    alone = np.concatenate([classifier.probabilities(image[None]) for image in images])
    assert together == pytest.approx(alone, abs=1e-6)
    assert together.sum(axis=1) == pytest.approx(1)
    assert classifier.probabilities(images[:0]).shape == (0, 7)


def test_features_are_what_the_head_turns_into_probabilities(classifier, faces, tiny_run):
    """Oracle: the head's own weights, applied by hand."""
    from safetensors.numpy import load_file

    images = np.asarray(faces.images[: BATCH + 3])
    weights = load_file(tiny_run.best)
    logits = classifier.features(images) @ weights["head.weight"].T + weights["head.bias"]
    assert softmax(logits.astype(np.float64)) == pytest.approx(
        classifier.probabilities(images, temperature=1.0), abs=1e-5
    )
    assert classifier.features(images[:0]).shape == (0, 8)


def test_the_temperature_of_the_manifest_is_applied(tiny_run, faces, tmp_path, classifier):
    """Oracle: p(T) is proportional to p ** (1 / T)."""
    file = tmp_path / "warm.onnx"
    warm = classifier.manifest.model_copy(update={"temperature": 2.0})
    file.write_bytes(attach_manifest(tiny_run.model.read_bytes(), warm))
    images = np.asarray(faces.images[:5])
    expected = classifier.probabilities(images, temperature=1.0) ** 0.5
    expected /= expected.sum(axis=1, keepdims=True)
    assert load(file).probabilities(images) == pytest.approx(expected, abs=1e-9)


def test_every_way_to_hand_in_an_image_gives_the_same_prediction(classifier, face_folder):
    file = image_files(face_folder / "test")[0]
    array = np.asarray(Image.open(file))
    (expected,) = classifier.predict_crops(file)
    for source in (str(file), file.read_bytes(), Image.open(file), array, np.stack([array] * 3, axis=-1)):
        (prediction,) = classifier.predict_crops(source)
        assert prediction.probability_vector == pytest.approx(expected.probability_vector, abs=1e-9)
    for many in ([file, array], np.stack([array, array]), (file,)):
        predictions = classifier.predict_crops(many)
        assert predictions[0].probability_vector == pytest.approx(expected.probability_vector, abs=1e-6)


def test_an_array_with_its_channels_first_is_read_with_a_warning(classifier):
    with pytest.warns(MienWarning, match="3 grey images") as caught:
        assert len(classifier.predict_crops(np.zeros((3, 48, 48), dtype=np.uint8))) == 3
    assert caught[0].message.code == "channels-first"
    with raises(DataError, "image-shape", "transpose(1, 2, 0)"):
        classifier.predict(np.zeros((3, 512, 512), dtype=np.uint8))


def test_a_folder_is_read_in_order(classifier, face_folder):
    files = image_files(face_folder / "validation")
    predictions = classifier.predict_crops(face_folder / "validation")
    assert [prediction.source for prediction in predictions] == [str(file) for file in files]
    assert len(files) == len(set(files)) > 20


FACE = np.zeros((48, 48), np.uint8)
NAN = np.full((48, 48), np.nan, np.float32)


@pytest.mark.parametrize(
    ("image", "code", "start"),
    [
        *((FACE.astype(dtype), "image-dtype", "image 1: ") for dtype in (np.int64, float, np.int8, bool, "U1", object)),
        *((np.full((48, 48), value), "image-dtype", "image 1: ") for value in (np.nan, np.inf)),
        ([FACE, NAN], "image-dtype", "image 2: "),
        (Image.fromarray(NAN), "image-not-finite", "image 1"),
        (3, "image-type", "image 1"),
        ([FACE, None], "image-type", "image 2"),
        (b"hello", "image-format", "image 1 is not an image"),
        (b"", "image-empty", "image 1 is empty"),
        ("none.png", "file-missing", "none.png"),
        ("/9j/" + 9000 * "A", "file-missing", f"/9j/{36 * 'A'}...{40 * 'A'} is too long"),
        ("data:image/png;base64,AAAA", "image-address", "data:image/png;base64,AAAA"),
        (np.zeros((140, 130, 2), np.uint8), "image-shape", "image 1"),
        *((np.zeros((count, 2304), np.uint8), "image-flat", "An array") for count in (1, 5)),
    ],
)
def test_predict_crops_rejects_other_values_and_names_the_image(classifier, image, code, start):
    with raises(DataError, code) as caught:
        classifier.predict_crops(image)
    assert str(caught.value).startswith(start)


@pytest.mark.parametrize(
    ("crops", "code"),
    [
        *((FACE[None].astype(dtype), "crops-dtype") for dtype in (np.int64, float, np.int8, bool, "U1", object)),
        (NAN[None], "crops-dtype"),
        *((np.zeros(shape, np.uint8), "crops-shape") for shape in ((2, 44, 44), (48, 48), (1, 48, 48, 3))),
    ],
)
def test_probabilities_and_features_reject_other_arrays(classifier, crops, code):
    for compute in (classifier.probabilities, classifier.features):
        with raises(DataError, code):
            compute(crops)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 64), (300, 200), (48, 48, 4), (48, 48, 1), (1, 2000)])
def test_images_of_any_size_become_a_grey_square(classifier, shape):
    """Oracle: the grey square made by hand."""
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected = classifier.probabilities(grey_square(image, 48)[None])[0]
    for given in (image, [image]):
        assert classifier.predict_crops(given)[0].probability_vector == pytest.approx(expected, abs=1e-9)


def test_nothing_gives_nothing(classifier):
    empty = np.empty((0, 48, 48), np.uint8)
    assert classifier.predict_crops([]) == classifier.predict_crops(empty) == classifier.predict([]) == []
    assert list(classifier.stream(iter(()), crops=True)) == []


def test_an_error_names_its_image_first(classifier, monkeypatch, tmp_path):
    """The sentence on a NaN speaks of pixels, and so is the file called."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(NAN).save("pixels", "TIFF")
    with raises(DataError, "image-not-finite") as caught:
        list(classifier.stream(["pixels"], crops=True))
    assert str(caught.value).startswith("pixels: The image contains pixels")


@pytest.mark.parametrize(
    "image", ["a.jpg", b"bytes", Path("a.jpg"), Image.new("L", (48, 48)), FACE, np.zeros((9, 9, 3))]
)
def test_a_stream_takes_no_single_image(classifier, image):
    """The letters of a path, or the rows of an array, would be read one by one."""
    with raises(DataError, "image-type", "[image]"):
        classifier.stream(image)


def test_a_stream_takes_arrays_of_images_and_of_paths(classifier, face_folder):
    """Oracle: the same images in a list."""
    files = image_files(face_folder / "test")[:2]
    arrays = [np.asarray(Image.open(file)) for file in files]
    expected = [photo.predictions[0].probability_vector for photo in classifier.stream(arrays, crops=True)]
    for images in (np.stack(arrays), np.stack([np.stack([each] * 3, axis=-1) for each in arrays]), np.array(files)):
        photos = list(classifier.stream(images, crops=True))
        assert np.array([photo.predictions[0].probability_vector for photo in photos]) == pytest.approx(
            np.array(expected), abs=1e-6
        )


def test_a_stream_never_holds_more_than_a_batch(classifier, faces):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield np.asarray(faces.images[0])

    stream = classifier.stream(endless(), crops=True)
    for _ in range(BATCH + 1):
        next(stream)
    assert taken == 2 * BATCH


def test_threads_share_a_classifier(classifier, faces):
    images = np.asarray(faces.images[:100])
    expected, wrong = classifier.probabilities(images), []

    def work():
        for _ in range(5):
            if not np.allclose(classifier.probabilities(images), expected, atol=1e-6):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", 10**6])
def test_so_many_threads_are_refused(threads):
    with raises(ModelError, "threads-range", repr(threads)):
        load(threads=threads)


def test_a_path_without_a_model_is_an_error_that_says_what_to_give(tmp_path, tiny_run):
    weights, photo = tmp_path / "run" / "best.safetensors", tmp_path / "photo.JPG"
    weights.parent.mkdir()
    for file in (weights, photo):
        file.write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for path, code, *words in (
        (tmp_path / "none", "model-missing"),
        (tmp_path / "empty", "model-missing"),
        (weights.parent, "model-not-exported"),
        (weights, "model-other-file", f"{weights} holds weights", ".onnx"),
        (tiny_run.best, "model-other-file", f" {tiny_run.path}"),
        (photo, "model-other-file", f"{photo} is an image", ".onnx"),
    ):
        with raises(ModelError, code, *words):
            load(path)


def test_classes_are_merged(classifier, faces):
    """Oracle: sums by hand."""
    images = np.asarray(faces.images[:20])
    plain = classifier.predict_crops(images)
    merged = classifier.predict_crops(images, classes="positive=happy+surprise,negative=angry+fear+sad")
    for before, after in zip(plain, merged, strict=True):
        positive = before.probabilities["happy"] + before.probabilities["surprise"]
        negative = sum(before.probabilities[name] for name in ("angry", "fear", "sad"))
        assert after.probabilities["positive"] == pytest.approx(positive / (positive + negative))
        assert sum(after.probabilities.values()) == pytest.approx(1)
        assert after.top == ("positive" if positive >= negative else "negative")
    assert classifier.predict_crops(images[0], classes="all")[0].classes == classifier.classes


def test_a_hundred_thousand_faces_take_the_memory_of_their_answers(classifier):
    """The network is left out: what is held beside it must not grow with the number of faces."""

    class Session:
        get_outputs = staticmethod(classifier._session.get_outputs)

        def run(self, names, feeds):
            assert feeds["images"].shape[0] <= 64
            return [np.zeros((len(feeds["images"]), 7), np.float32)]

    quick = classifier.for_labels()
    quick._session = Session()
    many = np.broadcast_to(FACE, (100_000, 48, 48))
    quick.probabilities(many[:64])
    tracemalloc.start()
    answers = quick.probabilities(many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answers.shape == (100_000, 7)
    assert peak < 2.5 * answers.nbytes + 10e6
