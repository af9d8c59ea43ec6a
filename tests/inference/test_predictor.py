"""Oracle: onnxruntime's own list of providers, and the CPU's probabilities.

The CPU build also has Azure's provider, which computes nothing itself: a real second provider wherever tests run.
"""

import io
import json
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import mien
from mien.base.errors import DataError, ModelError
from mien.base.images import IMAGE_SUFFIXES, image_files
from mien.base.model_file import attach_manifest, open_model
from mien.base.preprocess import InputSpec, grey_square, to_input
from mien.base.run_folder import find_model
from mien.evaluation.calibration import softmax
from mien.inference.onnx_classifier import (
    BATCH,
    CPU,
    VIEWS,
    OnnxClassifier,
    augmented_views,
    find_provider,
    mean_over_views,
)
from mien.inference.predictor import load
from support import raises, refused, warned


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


def test_batches_do_not_change_the_answer(classifier, faces, tiny_run):
    images = np.asarray(faces.images[: 2 * BATCH + 3])
    together = classifier.probabilities(images)
    alone = np.concatenate([classifier.probabilities(image[None]) for image in images])
    assert (together, together.sum(axis=1)) == (pytest.approx(alone, abs=1e-6), pytest.approx(1))
    assert classifier.probabilities(images[:0]).shape == (0, 7)
    # Oracle: the head's own weights, applied by hand.
    from safetensors.numpy import load_file

    images, weights = np.asarray(faces.images[: BATCH + 3]), load_file(tiny_run.best)
    logits = classifier.features(images) @ weights["head.weight"].T + weights["head.bias"]
    expected = classifier.probabilities(images, temperature=1.0)
    assert softmax(logits.astype(np.float64)) == pytest.approx(expected, abs=1e-5)
    assert classifier.features(images[:0]).shape == (0, 8)


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
    files, predictions = image_files(face_folder / "validation"), classifier.predict_crops(face_folder / "validation")
    assert [prediction.source for prediction in predictions] == [str(file) for file in files]
    assert len(files) == len(set(files)) > 20
    empty = np.empty((0, 48, 48), np.uint8)
    assert classifier.predict_crops([]) == classifier.predict_crops(empty) == classifier.predict([]) == []
    assert list(classifier.stream(iter(()), crops=True)) == []


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
        found = np.array([photo.predictions[0].probability_vector for photo in photos])
        assert found == pytest.approx(np.array(expected), abs=1e-6)


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
    expected = classifier.probabilities(images)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(classifier.probabilities, [images] * 20):
            assert found == pytest.approx(expected, abs=1e-6)


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
    answers, peak = quick.probabilities(many), tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answers.shape == (100_000, 7)
    assert peak < 2.5 * answers.nbytes + 10e6


def test_ten_views_are_the_centre_and_the_four_corners_and_their_mirror_images():
    """Oracle: the corners cut out of the 48 px face itself; a crop of 44 px sees nothing beyond its border."""
    spec = InputSpec(size_px=48, crop_px=44, mean=0.0, std=1.0)
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    seen = [to_input(view, spec)[:, 0] * 255 for view in augmented_views(images, 10)]
    corners = [(2, 2), (0, 0), (0, 4), (4, 0), (4, 4)]
    for number, (top, left) in enumerate(corners):
        cut = images[:, top : top + 44, left : left + 44]
        assert seen[2 * number] == pytest.approx(cut, abs=1e-3)
        assert seen[2 * number + 1] == pytest.approx(cut[:, :, ::-1], abs=1e-3)
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    ten = list(augmented_views(images, 10))
    assert [len(list(augmented_views(images, views))) for views in VIEWS] == [1, 2, 5, 10]
    assert all(map(np.array_equal, augmented_views(images, 5), ten[::2]))
    for views in (1, 2):
        for one, other in zip(augmented_views(images, views), ten, strict=False):
            assert np.array_equal(one, other)
    assert np.array_equal(ten[0], images)
    # The border's pixels repeat where a view looks beyond it.
    assert np.array_equal(ten[2][:, 0], np.concatenate([images[:, 0, :1], images[:, 0, :-1]], axis=1))


def test_probabilities_are_the_mean_over_the_views(tiny_run, faces, tmp_path, classifier):
    """Oracle: each view asked by itself."""
    model, images = load(tiny_run.path), np.asarray(faces.images[:70])
    for views in VIEWS:
        alone = [model.probabilities(np.ascontiguousarray(view), 1.5) for view in augmented_views(images, views)]
        found = mean_over_views(lambda shown: model.probabilities(shown, 1.5), images, views)
        assert found == pytest.approx(np.mean(alone, axis=0), abs=1e-6)
    assert mean_over_views(model.probabilities, images[:0], 10).shape == (0, 7)
    # Oracle: p(T) is proportional to p ** (1 / T).
    file, warm = tmp_path / "warm.onnx", classifier.manifest.model_copy(update={"temperature": 2.0})
    file.write_bytes(attach_manifest(tiny_run.model.read_bytes(), warm))
    images = np.asarray(faces.images[:5])
    expected = classifier.probabilities(images, temperature=1.0) ** 0.5
    expected /= expected.sum(axis=1, keepdims=True)
    assert load(file).probabilities(images) == pytest.approx(expected, abs=1e-9)


def test_the_walk_is_the_sorted_list_of_all_images_that_are_not_hidden(tmp_path):
    """Oracle: pathlib's rglob, sorted, which follows no links to folders."""
    names = ("b.png", "a/z.JPG", "a/b/c.gif", "a.png", "a/.hidden.png", ".git/x.png", "a/text.txt", "B.webp", "a/b.png")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "c").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    expected = sorted(
        path
        for path in (*tmp_path.rglob("*"), tmp_path / "c" / "c.gif")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(tmp_path).parts)
        and "loop" not in path.parts
    )
    assert (image_files(tmp_path), len(expected)) == (expected, 8)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
@pytest.mark.parametrize("target", ["gone", "b.png"])
def test_a_link_without_a_target_is_an_image_that_cannot_be_read(tmp_path, mien, face_folder, tiny_run, target):
    (tmp_path / "a.png").write_bytes(next((face_folder / "test" / "happy").iterdir()).read_bytes())
    (tmp_path / "b.png").symlink_to(target)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "piped.png").symlink_to(tmp_path / "pipe.png")
    given = ("predict", tmp_path, "--crops", "--model", tiny_run.path, "--json")
    assert mien(*given).code == 2
    answer = mien(*given, "--skip-bad")
    failed = {Path(each["source"]).name: "error" in each for each in json.loads(answer.out)}
    assert failed == {"a.png": False, "b.png": True}
    assert f"skipped: {tmp_path / 'b.png'}" in answer.err


AZURE = "AzureExecutionProvider"


def test_providers_are_known_by_short_and_full_name():
    assert find_provider(None) == find_provider("cpu") == find_provider("CPUExecutionProvider") == CPU


def test_a_missing_provider_is_one_line_that_lists_those_present(mien, face_folder, tmp_path, encode_video):
    for command in (("predict", face_folder / "test"), ("evaluate", "fast", "--data", face_folder)):
        refused(mien(*command, "--provider", "tpu"), "provider", "'tpu'", "it has: cpu")
    refused(mien("serve", "--provider", "tpu"), "provider", "'tpu'", "it has: cpu")
    clip = encode_video(tmp_path / "clip.mp4", [np.zeros((32, 32, 3), np.uint8)])
    refused(mien("video", clip, "--provider", "tpu"), "provider", "'tpu'", "it has: cpu")


@pytest.mark.skipif(AZURE not in onnxruntime.get_available_providers(), reason="onnxruntime has the CPU alone")
def test_another_provider_is_used():
    faces = np.random.default_rng(1).integers(0, 256, size=(4, 48, 48), dtype=np.uint8)
    model = mien.load("fast", provider="azure")
    assert AZURE in model._session.get_providers()
    np.testing.assert_allclose(model.probabilities(faces), mien.load("fast").probabilities(faces), atol=1e-6)


def test_a_provider_that_does_not_start_is_one_line(monkeypatch):
    """ONNX Runtime itself goes on with the CPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["XExecutionProvider", CPU])
    session, manifest = open_model(find_model("fast"))
    monkeypatch.setattr("mien.inference.onnx_classifier.open_model", lambda *given: (session, manifest))
    with raises(ModelError, "provider", "X"):
        OnnxClassifier(find_model("fast"), provider="x")
