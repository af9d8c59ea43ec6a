import io
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError, MienWarning, ModelError
from mien.base.model_file import attach_manifest
from mien.evaluation.calibration import softmax
from mien.inference.image_files import image_files
from mien.inference.onnx_classifier import BATCH
from mien.inference.predictor import load
from support import raises, warned


@pytest.fixture(scope="module")
def classifier(tiny_run):
    return load(tiny_run.path)


def test_softmax_is_the_formula_and_survives_large_logits():
    """Oracle: scipy.special.softmax."""
    from scipy.special import softmax as reference

    logits = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]])
    assert softmax(logits) == pytest.approx(reference(logits, axis=1), abs=1e-12)


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


def test_grey_with_transparency_as_an_array_is_no_stack_of_narrow_images(classifier):
    with raises(DataError, "image-shape", "(140, 130, 2)"):
        classifier.predict_crops(np.zeros((140, 130, 2), dtype=np.uint8))


@pytest.mark.parametrize("shape", [(5, 2304), (1, 2304)])
def test_flattened_faces_are_no_face_crop(classifier, shape):
    with raises(DataError, "image-flat"):
        classifier.predict_crops(np.zeros(shape, dtype=np.uint8))


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


@pytest.mark.parametrize(
    ("image", "code", "source"),
    [
        (np.zeros((48, 48)), "image-dtype", "image 1"),
        (3, "image-type", "image 1"),
        (b"hello", "image-format", "image 1 is not an image"),
        (b"", "image-empty", "image 1 is empty"),
        ("none.png", "file-missing", "none.png"),
        ("/9j/" + 9000 * "A", "file-missing", f"/9j/{36 * 'A'}...{40 * 'A'} is too long"),
        ("data:image/png;base64,AAAA", "image-address", "data:image/png;base64,AAAA"),
        ([np.zeros((48, 48), np.uint8), None], "image-type", "image 2"),
    ],
)
def test_predict_rejects_other_files_in_one_line(classifier, image, code, source):
    with raises(DataError, code) as caught:
        classifier.predict_crops(image)
    assert str(caught.value).startswith(source)


def test_an_error_names_its_image_first(classifier, monkeypatch, tmp_path):
    """The sentence on a NaN speaks of pixels, and so is the file called."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((48, 48), np.nan, np.float32)).save("pixels", "TIFF")
    with raises(DataError, "image-not-finite") as caught:
        list(classifier.stream(["pixels"], crops=True))
    assert str(caught.value).startswith("pixels: The image contains pixels")


@pytest.mark.parametrize(
    "image",
    [
        *("a.jpg", b"bytes", Path("a.jpg"), Image.new("L", (48, 48))),
        *(np.zeros(shape, dtype=np.uint8) for shape in ((48, 48), (48, 48, 3), (48, 48, 4))),
    ],
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


def test_where_there_is_no_model(tmp_path, tiny_run):
    with raises(ModelError, "model-missing"):
        load(tmp_path / "none")
    with raises(ModelError, "model-missing"):
        load(tmp_path)
    (tmp_path / "best.safetensors").write_bytes(tiny_run.best.read_bytes())
    with raises(ModelError, "model-not-exported"):
        load(tmp_path)
    weights = tmp_path / "best.safetensors"
    with raises(ModelError, "model-other-file", f"{weights} holds weights", ".onnx"):
        load(weights)
    # In a run folder.
    for file in (tiny_run.best, tiny_run.last):
        with raises(ModelError, "model-other-file", file, f" {tiny_run.path}"):
            load(file)
    photo = tmp_path / "photo.JPG"
    photo.write_bytes(b"")
    with raises(ModelError, "model-other-file", f"{photo} is an image", ".onnx"):
        load(photo)


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
