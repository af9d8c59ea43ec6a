"""The page's test vectors match Python. Oracle: mien itself, computed again."""

import base64
import json
from pathlib import Path

import numpy as np

from support import load_script

WEB_TESTS = Path(__file__).parents[2] / "web" / "tests"


def test_page_vectors_are_up_to_date():
    module = load_script(WEB_TESTS / "make_vectors.py")
    stored, fresh = json.loads(module.FILE.read_text(encoding="utf-8")), module.vectors()
    advice = "run: python web/tests/make_vectors.py"
    assert [each["name"] for each in stored["images"]] == [each["name"] for each in fresh["images"]], advice
    assert stored["resized"] == fresh["resized"], advice
    assert stored["classes"] == fresh["classes"], advice
    assert stored["coloured"] == fresh["coloured"], advice
    for key in ("crops", "pairs", "near"):
        assert stored["copies"][key] == fresh["copies"][key], advice
    for old, new in zip(stored["images"], fresh["images"], strict=True):
        # Encoders of other versions write other bytes; the file keeps its own images.
        assert old["crop"] == _crop_of(old["file"], stored["size_px"]), f"{old['name']}: {advice}"
        # Kernels differ in the last bits between machines; an activation between two 8-bit steps then takes the other.
        for output, classes in stored["classes"].items():
            probabilities = _probabilities_of(old["crop"], output)
            np.testing.assert_allclose(old["probabilities"][output], probabilities, atol=0.03, err_msg=advice)
            assert len(new["probabilities"][output]) == len(classes)


def _crop_of(file: str, size_px: int) -> str:
    from mien.base.images import open_image
    from mien.base.preprocess import grey_square

    return base64.b64encode(grey_square(open_image(base64.b64decode(file)), size_px).tobytes()).decode()


def _probabilities_of(crop: str, output: str) -> np.ndarray:
    from mien.base.run_folder import find_model
    from mien.inference.predictor import Predictor

    predictor = Predictor(find_model("fast-int8"), threads=1, output=output)
    side = predictor.manifest.input.size_px
    return predictor.probabilities(np.frombuffer(base64.b64decode(crop), dtype=np.uint8).reshape(1, side, side))[0]
