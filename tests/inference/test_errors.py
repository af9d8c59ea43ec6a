"""Errors of models, predictions and outputs, with their codes and what the sentence names."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.base.errors import MienError, ModelError
from mien.faces.face import Box, Face
from mien.inference.drawing import Annotator, draw_predictions
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import load
from support import Fixed, raises

FACE = np.zeros((48, 48), np.uint8)
NAN = np.full((48, 48), np.nan, np.float32)
SCENE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
DTYPES = (np.int64, float, np.int8, bool, "U1", object)


@pytest.mark.parametrize(
    ("image", "code", "start"),
    [*((FACE.astype(dtype), "image-type", "image 1: ") for dtype in DTYPES),
     *((np.full((48, 48), value), "image-type", "image 1: ") for value in (np.nan, np.inf)),
     ([FACE, NAN], "image-type", "image 2: "), (Image.fromarray(NAN), "image-type", "image 1"),
     (3, "image-type", "image 1"), ([FACE, None], "image-type", "image 2"),
     (b"hello", "image-format", "image 1 is not an image"), (b"", "image-empty", "image 1 is empty"),
     ("none.png", "file-missing", "none.png"),
     ("/9j/" + 9000 * "A", "file-missing", f"/9j/{36 * 'A'}...{40 * 'A'} is too long"),
     ("data:image/png;base64,AAAA", "image-address", "data:image/png;base64,AAAA"),
     (np.zeros((140, 130, 2), np.uint8), "image-type", "image 1"),
     *((np.zeros((count, 2304), np.uint8), "image-type", "An array") for count in (1, 5))],
)  # fmt: skip
def test_predict_crops_rejects_other_values_and_names_the_image(classifier, image, code, start):
    with raises(MienError, code) as caught:
        classifier.predict_crops(image)
    assert str(caught.value).startswith(start)


@pytest.mark.parametrize(
    "crops",
    [*(FACE[None].astype(dtype) for dtype in DTYPES), NAN[None],
     *(np.zeros(shape, np.uint8) for shape in ((2, 44, 44), (48, 48), (1, 48, 48, 3)))],
)  # fmt: skip
def test_probabilities_and_features_reject_other_arrays(classifier, crops):
    for compute in (classifier.probabilities, classifier.features):
        with raises(MienError, "image-type", f"found {crops.dtype} {crops.shape}."):
            compute(crops)


@pytest.mark.parametrize(
    "image", ["a.jpg", b"bytes", Path("a.jpg"), Image.new("L", (48, 48)), FACE, np.zeros((9, 9, 3))]
)
def test_stream_rejects_a_single_image(classifier, image):
    """The letters of a path, or the rows of an array, would be read one by one."""
    with raises(MienError, "image-type", "[image]"):
        classifier.stream(image)


@pytest.mark.parametrize(
    "images", [np.stack([SCENE, SCENE]), np.array(["a.jpg", "b.jpg"]), np.stack([SCENE] * 2)[..., 0]]
)
def test_predict_rejects_an_array_of_several_images(classifier, images):
    """Its type is that of one image, so its answer would have another type than a checker says."""
    with raises(MienError, "image-type", "list(array)"):
        classifier.predict(images, detector=Fixed())


@pytest.mark.parametrize(
    "returned",
    [None, (Face(Box(20, 10, 80, 80), 0.9, {}),), [(20, 10, 80, 80)], [Face((20, 10, 80, 80), 1.0, {})],
     [Face(Box(2.5, 1, 8, 8), 1.0, {})], [Face(Box(2, 1, 8, 8), None, {})],
     [Face(Box(2, 1, 8, 8), 1.0, {"nose": (1.0, 2.0, 3.0)})], [Face(Box(2, 1, 8, 8), 1.0, {"nose": (1.0, None)})]],
)  # fmt: skip
def test_reader_rejects_what_an_own_detector_returns_instead_of_faces(classifier, returned):
    class Odd(Fixed):
        def detect(self, rgb):
            return returned

    with raises(ModelError, "detector", Odd.name):
        FaceReader(classifier, Odd()).read(SCENE)
    # An image is not to blame.
    with raises(ModelError, "detector", Odd.name):
        classifier.predict([SCENE], detector=Odd(), max_faces=1, on_error=lambda *_: None)


@pytest.mark.parametrize("look", [{"line_px": 0}, {"text_px": -1}, "no colour", 7.5, [9, 9, 9]])
def test_draw_predictions_rejects_an_impossible_look(look):
    look = look if isinstance(look, dict) else {"colours": {"happy": look}}
    with raises(MienError, "options"):
        draw_predictions(SCENE, [], **look)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", 10**6])
def test_load_rejects_impossible_threads(threads):
    with raises(ModelError, "options", repr(threads)):
        load(threads=threads)


def test_load_says_what_to_give_instead_of_other_paths(tmp_path, tiny_run):
    weights, photo = tmp_path / "run" / "best.safetensors", tmp_path / "photo.JPG"
    weights.parent.mkdir()
    (tmp_path / "empty").mkdir()
    for file in (weights, photo):
        file.write_bytes(b"")
    for path, code, *named in (
        (tmp_path / "none", "model-missing"),
        (tmp_path / "empty", "model-missing"),
        (weights.parent, "model-missing"),
        (tiny_run.best, "model-damaged", tiny_run.best, "no model"),
        (photo, "model-damaged", photo, "no model"),
    ):
        with raises(ModelError, code, *named):
            load(path)


@pytest.mark.parametrize("output", ["label", "fer2014", 3])
def test_load_rejects_unknown_outputs(voted_run, tiny_run, output):
    for run in (voted_run, tiny_run):
        with raises(ModelError, "output-unknown", f"'{output}'"):
            mien.load(run.path, output=output)


@pytest.mark.parametrize("folder", ["a", "a/out", "a/c", "."])
def test_annotator_rejects_a_folder_around_or_inside_its_images(tmp_path, folder):
    (tmp_path / "a" / "c").mkdir(parents=True)
    file = tmp_path / "a" / "c" / "x.png"
    Image.new("RGB", (30, 30)).save(file)
    with raises(MienError, "out-path"):
        Annotator(tmp_path / folder, [tmp_path / "a"] if folder != "a/c" else [file])


def test_annotator_does_not_overwrite_a_linked_source(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "out").mkdir()
    Image.new("RGB", (30, 30)).save(tmp_path / "out" / "x.jpg")
    (tmp_path / "a" / "x.jpg").symlink_to(tmp_path / "out" / "x.jpg")
    with raises(MienError, "out-path"):
        Annotator(tmp_path / "out", [tmp_path / "a"]).write(str(tmp_path / "a" / "x.jpg"), SCENE, [])
