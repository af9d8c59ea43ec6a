"""The page's test vectors say what Python says today. Oracle: mien itself, asked again."""

import base64
import importlib.util
import json
from pathlib import Path

import numpy as np

WEB_TESTS = Path(__file__).parents[2] / "web" / "tests"


def test_the_vectors_of_the_page_are_fresh():
    spec = importlib.util.spec_from_file_location("make_vectors", WEB_TESTS / "make_vectors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stored, fresh = json.loads(module.FILE.read_text(encoding="utf-8")), module.vectors()
    advice = "run: python web/tests/make_vectors.py"
    assert [each["name"] for each in stored["pictures"]] == [each["name"] for each in fresh["pictures"]], advice
    assert stored["resized"] == fresh["resized"], advice
    for old, new in zip(stored["pictures"], fresh["pictures"], strict=True):
        # Encoders of other versions write other bytes; the file keeps its own pictures.
        assert old["square"] == _square_of(old["file"], stored["size_px"]), f"{old['name']}: {advice}"
        # Drawing and 8-bit kernels differ in the last bits from machine to machine.
        np.testing.assert_allclose(old["probabilities"], _read(old["square"]), atol=1e-3, err_msg=advice)
        assert len(new["probabilities"]) == len(stored["classes"])


def _square_of(file: str, size_px: int) -> str:
    from mien.pictures import open_image
    from mien.preprocess import grey_square

    return base64.b64encode(grey_square(open_image(base64.b64decode(file)), size_px).tobytes()).decode()


def _read(square: str) -> np.ndarray:
    from mien.inference.classifier import Classifier
    from mien.inference.locate import find_model
    from mien.serve.built_page import PAGE_MODEL

    classifier = Classifier(find_model(PAGE_MODEL), threads=1)
    side = classifier.manifest.input.size_px
    pixels = np.frombuffer(base64.b64decode(square), dtype=np.uint8).reshape(1, side, side)
    return classifier.probabilities(pixels)[0]
