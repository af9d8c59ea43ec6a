"""Oracles: the faces themselves, found by hand; the model's own answers; what a file says of itself."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.base.labels import SCHEMES, parse_scheme
from mien.data.read import ReadOptions, read_data
from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import RobustnessResult, write_robustness
from mien.inference.predictor import load
from mien.inference.tta import mean_over_views, views_note
from mien.pipeline.evaluation_files import find_robustness
from mien.pipeline.measured_split import check_fingerprint, check_model, faces_of_predictions, match_faces
from support import make_predictions, raises


def test_matched_faces_are_in_the_order_of_the_predictions(faces):
    chosen = faces.of_split("validation").subset(
        np.random.default_rng(3).permutation(int((faces.split == "validation").sum()))
    )
    found = match_faces(faces, make_predictions(chosen.labels, faces.classes, chosen.rows))
    assert found.rows.tolist() == chosen.rows.tolist()
    assert np.array_equal(found.images, chosen.images)
    few = make_predictions(chosen.labels[:5], faces.classes, chosen.rows[:5], split="mine")
    assert match_faces(faces, few).rows.tolist() == chosen.rows[:5].tolist()
    with raises(DataError, "samples-differ"):
        match_faces(faces, replace(few, split="validation"))


@pytest.mark.parametrize("name", ["binary", "binary-with-disgust"])
def test_the_scheme_that_fits_the_samples_is_chosen(name, faces):
    merged = faces.with_scheme(SCHEMES[name])
    part = merged.of_split("validation")
    predictions = make_predictions(part.labels, merged.classes, part.rows)
    assert faces_of_predictions(faces, predictions).rows.tolist() == merged.rows.tolist()
    with raises(DataError, "samples-differ" if name == "binary-with-disgust" else "labels-differ"):
        faces_of_predictions(faces, make_predictions(1 - part.labels, merged.classes, part.rows))


def test_an_own_scheme_is_inferred_from_labels_of_the_same_data(faces):
    """Oracle: the faces under the scheme itself. Without a fingerprint, other data could have such labels by chance."""
    for text in ("good=happy+surprise,bad=sad+angry", "positive=happy,negative=sad", "sad=fear+sad,happy=happy"):
        merged = faces.with_scheme(parse_scheme(text))
        part = merged.of_split("validation")
        predictions = make_predictions(part.labels, merged.classes, part.rows, fingerprint=faces.fingerprint)
        found = faces_of_predictions(faces, predictions)
        assert (found.rows.tolist(), found.labels.tolist()) == (merged.rows.tolist(), merged.labels.tolist())
        code = "samples-differ" if "positive" in text else "classes-differ"
        with raises(DataError, code):
            faces_of_predictions(faces, replace(predictions, data_fingerprint=""))
        named = faces_of_predictions(faces, replace(predictions, data_fingerprint="", scheme=text))
        assert named.rows.tolist() == merged.rows.tolist()
        mixed = np.where(np.arange(len(part)) % 2 == 0, part.labels, 1 - part.labels)
        with raises(DataError, "samples-differ" if "positive" in text else "labels-differ"):
            faces_of_predictions(faces, replace(predictions, labels=mixed))


def test_a_model_that_did_not_make_the_predictions_is_refused(faces, tiny_run):
    """Oracle: the model's own answers at its temperature and at 1, and these with one row changed or at another."""
    model = load(tiny_run.path)
    model.manifest = model.manifest.model_copy(update={"temperature": 1.7})
    part = faces.of_split("validation").subset(np.arange(40))

    def made(temperature):
        answers = model.probabilities(part.images, temperature).astype(np.float16)
        return Predictions(part.rows, part.labels, answers, faces.classes, "mine", "")

    for temperature in (1.0, 1.7):
        assert check_model(model, part, made(temperature)) == temperature
    assert check_model(model, replace(part, split=np.full(40, "test")), made(3.0)) is None, "it may not be asked"
    changed = made(1.0)
    changed.probabilities[7] = np.roll(changed.probabilities[7], 1)
    for predictions in (changed, made(3.0), replace(made(1.0), note=views_note(2))):
        with raises(DataError, "model-did-not-predict"):
            check_model(model, part, predictions)
    assert check_model(model, part, replace(made(1.0), note="at temperature 1")) == 1.0
    mean = mean_over_views(partial(model.probabilities, temperature=1.0), part.images, 2)
    assert check_model(model, part, replace(made(1.0), probabilities=mean, note=views_note(2))) == 1.0


def test_fingerprints_match_at_every_image_size(faces, tmp_path):
    """Native faces of 60 px, read for a 48 px and a 64 px model and by a report that knows of neither."""
    tree = tmp_path / "tree"
    for index, image in enumerate(np.asarray(faces.images[:40])):
        file = tree / faces.classes[faces.labels[index]] / f"{index:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((60, 60)).save(file)
    plain, large = read_data(tree).faces, read_data(tree, ReadOptions(size_px=64)).faces
    assert large.images.shape[1:] == (64, 64)
    part = large.of_split("validation")
    predictions = make_predictions(part.labels, large.classes, part.rows, fingerprint=large.fingerprint)
    for data in (plain, large):
        check_fingerprint(data, predictions)
        assert match_faces(faces_of_predictions(data, predictions), predictions).rows.tolist() == part.rows.tolist()


def test_test_predictions_need_data_with_a_test_split(faces):
    """Scores of validation are of the same faces with the test split and without, where both number them alike."""
    faces = replace(faces, rows=faces.rows + 1000)
    without = faces.subset(np.flatnonzero(faces.split != "test"))
    part = without.of_split("validation")
    predictions = make_predictions(part.labels, without.classes, part.rows, fingerprint=without.fingerprint)
    check_fingerprint(faces, predictions)
    for split, found in (("test", faces.fingerprint), ("validation", faces.fingerprint_without_test)):
        with raises(DataError, "data-differs", f"found {found[:19]}"):
            check_fingerprint(faces, replace(predictions, split=split, data_fingerprint="sha256:other"))
    with raises(DataError, "data-differs"):
        check_fingerprint(faces, replace(predictions, split="test"))


def test_a_robustness_file_of_another_model_or_split_is_left_out(faces, tiny_run, tmp_path):
    """Oracle: what the file says of itself; a run folder and the model file in it are one model."""
    shares = np.full((2, len(STRENGTHS)), 0.5)
    one = Estimate(0.5, 0.4, 0.6)
    result = RobustnessResult(("blur", "noise"), shares, one, one, 7, 0)
    folder = tmp_path / "measured"
    write_robustness(folder, replace(result, model=str(tiny_run.path), data="faces.parquet", split="validation"))
    predictions = make_predictions([0, 1, 2, 3, 4, 5, 6], faces.classes)
    for name in (str(tiny_run.model), str(tiny_run.path), None):
        found = find_robustness([tmp_path, folder / "robustness.json"], predictions, name)
        assert (found.model, found.data, found.split) == (str(tiny_run.path), "faces.parquet", "validation")
        for value in (tiny_run.path, "7 ", "validation", "faces.parquet"):
            assert str(value) in found.description
    for other, name in ((replace(predictions, split="train"), None), (predictions, "runs/other")):
        refused = find_robustness([folder], other, name)
        assert refused.code == "robustness-other"
        assert str(folder / "robustness.json") in refused
    write_robustness(tmp_path / "first", replace(result, model="other", data="x", split="train"))
    assert find_robustness([tmp_path / "first", folder], predictions, None).split == "validation", "the first that fits"
    named = replace(result, model="m", data="faces.parquet", split="validation", data_fingerprint="sha256:one")
    write_robustness(folder, named)
    for fingerprint, code in (("sha256:one", None), ("", None), ("sha256:two", "robustness-other")):
        found = find_robustness([folder], replace(predictions, data_fingerprint=fingerprint), None)
        assert getattr(found, "code", None) == code, fingerprint
    assert find_robustness([tmp_path / "none"], predictions, None).code == "robustness-not-measured"
    assert find_robustness([tmp_path], replace(predictions, split="test"), None).code == "robustness-of-test"
