import io
import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.base.model_file import attach_manifest
from mien.base.preprocess import grey_square
from mien.evaluation.calibration import softmax
from mien.inference.onnx_classifier import BATCH
from mien.inference.predictor import image_files, load
from support import raises, warned


def test_a_prediction_at_the_prompt_is_one_short_line(astronaut):
    classifier = load("tiny")
    with warned("photo-as-crop", "image 1"):
        (prediction,) = classifier.predict_crops([Image.fromarray(astronaut[:400])])
    file = io.BytesIO()
    Image.fromarray(astronaut[:400]).save(file, "PNG")
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


def test_a_folder_is_read_in_order(classifier, face_folder):
    files = image_files(face_folder / "validation")
    predictions = classifier.predict_crops(face_folder / "validation")
    assert [prediction.source for prediction in predictions] == [str(file) for file in files]
    assert len(files) == len(set(files)) > 20


FACE = np.zeros((48, 48), np.uint8)
NAN = np.full((48, 48), np.nan, np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 64), (300, 200), (48, 48, 4), (48, 48, 1), (1, 2000)])
@pytest.mark.filterwarnings("ignore::mien.base.errors.MienWarning")
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
    with raises(DataError, "image-type") as caught:
        list(classifier.stream(["pixels"], crops=True))
    assert str(caught.value).startswith("pixels: The image contains pixels")


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
