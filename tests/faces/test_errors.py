"""Errors of detectors, with their codes."""

import types

import numpy as np
import pytest
from PIL import Image

import mien
from mien.base.errors import DataError, MienError, ModelError
from mien.base.images import MAXIMUM_PIXELS, open_image
from mien.faces.face import Box, Face, LimitedDetector, Margin
from mien.faces.find import YuNet, find_detector
from support import Fixed, png_of_size, raises, refused

IMAGE = np.zeros((300, 300, 3), np.uint8)
FACE = Box(0, 20, 40, 50)
POINTS = {"right_eye": (20, 28), "left_eye": (40, 32), "right_mouth_corner": (28, 70), "left_mouth_corner": (40, 70)}


def own(**changes):
    parts = {"detect": list, "name": "own", "margin": Margin(1.0, 0.0), "score_range": (0, 1)}
    return types.SimpleNamespace(**parts | changes)


def found(*faces):
    return lambda: find_detector(Fixed(*faces)).detect(IMAGE)


def limited(**limits):
    return lambda: LimitedDetector(Fixed(), **limits)


CASES = {
    "a name": (lambda: find_detector("yunet.onnx"), "detector"),
    **{
        f"score_range {scores}": (lambda scores=scores: find_detector(own(score_range=scores)), "detector")
        for scores in (1.0, None, (0.0,), (0.0, 0.5, 1.0), ("low", "high"), "01")
    },
    **{
        f"{box}": (found(Face(box, 0.5, {})), "detector")
        for box in (Box(-40, -40, 10, 10), Box(350, 70, 10, 10), Box(0, 0, 0, 5), Box(0, 0, 10**9, 9))
    },
    **{f"score {score}": (found(Face(FACE, score, {})), "detector") for score in (1.5, -0.1, float("nan"))},
    **{
        f"landmarks {name}": (found(Face(box, 1.0, landmarks)), "detector")
        for box in (FACE, Box(200, 20, 40, 50))
        for name, landmarks in (
            ("as shares", {name: (x / 100, y / 100) for name, (x, y) in POINTS.items()}),
            ("far", {name: (x + 500, y) for name, (x, y) in POINTS.items()}),
            ("in one point", dict.fromkeys(POINTS, (30, 45))),
            ("without a number", {"left_eye": (float("nan"), 1.0)}),
            ("of an enlarged copy", {name: (6 * x, 6 * y) for name, (x, y) in POINTS.items()}),
        )
    },
    **{f"min_score {score}": (limited(min_score=score), "min-score-range") for score in (1.5, -0.1, float("nan"))},
    "min_size_px 0": (limited(min_size_px=0), "options"),
    "max_faces 0": (limited(max_faces=0), "options"),
    "no image": (lambda: mien.faces.detect({}), "image-type"),
    "no pixels": (lambda: mien.load("fast").predict(Image.new("RGB", (0, 5))), "image-empty"),
}


@pytest.mark.parametrize(("call", "code"), CASES.values(), ids=CASES)
def test_detectors_reject_impossible_values(call, code):
    with raises(MienError, code):
        call()


def test_damaged_detector_is_one_line(tmp_path, capfd):
    (tmp_path / "detector.onnx").write_bytes(b"no network at all")
    for name, code in (("missing.onnx", "model-missing"), ("detector.onnx", "model-damaged")):
        with raises(ModelError, code, name, "Install mien again"):
            YuNet(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_200_megapixels_are_refused_before_they_are_decoded(mien, tmp_path):
    """Oracle: the code. The file has no pixels: whatever decodes it says that it is damaged."""
    large = tmp_path / "large.png"
    large.write_bytes(png_of_size(20_000, 10_000))
    with raises(DataError, "image-pixels"):
        open_image(large)
    refused(mien("predict", large), "image-pixels", "large.png", f"{MAXIMUM_PIXELS:,}")
    refused(mien("explain", large, "--out", tmp_path / "maps"), "image-pixels", "large.png")


def test_most_of_500_faces_are_found(astronaut):
    """Oracle: where the faces were pasted, in cells of 50 x 60 px; all are found, where it was tried."""
    face = Image.fromarray(astronaut).crop((155, 40, 295, 210)).resize((50, 60), Image.Resampling.BILINEAR)
    crowd = Image.new("RGB", (25 * 50, 20 * 60))
    for number in range(500):
        crowd.paste(face, (number % 25 * 50, number // 25 * 60))
    found = [each.box for each in YuNet().detect(np.asarray(crowd))]
    cells = {((2 * box.left + box.width) // 100, (2 * box.top + box.height) // 120) for box in found}
    assert len(found) == len(cells), "one box a face"
    assert len(cells) > 490
