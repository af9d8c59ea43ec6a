"""Oracles: the faces themselves, found by hand; the model's own answers; what a file says of itself."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

import mien as package
from mien.base.errors import DataError, RunError
from mien.base.labels import SCHEMES, parse_scheme
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.parquet import write_parquet
from mien.data.read import ReadOptions, read_data
from mien.evaluation.predictions import Predictions, read_predictions
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import STRENGTHS, RobustnessResult, write_robustness
from mien.inference.onnx_classifier import mean_over_views, views_note
from mien.inference.predictor import load
from mien.pipeline.evaluation_files import find_robustness
from mien.pipeline.measured_split import (
    MeasuredSplit,
    check_fingerprint,
    check_model,
    faces_of_predictions,
    image_digests,
    match_faces,
    read_trained_on,
    subset_masks,
    write_trained_on,
)
from people import rendered_people
from support import make_predictions, note_codes, page_codes, raises, ran, warned


def test_matched_faces_are_in_the_order_of_the_predictions(faces):
    chosen = faces.of_split("validation")
    chosen = chosen.subset(np.random.default_rng(3).permutation(len(chosen)))
    found = match_faces(faces, make_predictions(chosen.labels, faces.classes, chosen.rows))
    assert found.rows.tolist() == chosen.rows.tolist()
    assert np.array_equal(found.images, chosen.images)
    few = make_predictions(chosen.labels[:5], faces.classes, chosen.rows[:5], split="mine")
    assert match_faces(faces, few).rows.tolist() == chosen.rows[:5].tolist()
    with raises(DataError, "data-differs"):
        match_faces(faces, replace(few, split="validation"))
    # Scores of validation are of the same faces with the test split and without, where both number them alike.
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


@pytest.mark.parametrize("name", ["binary", "binary-with-disgust"])
def test_the_scheme_that_fits_the_samples_is_chosen(name, faces):
    merged = faces.with_scheme(SCHEMES[name])
    part = merged.of_split("validation")
    predictions = make_predictions(part.labels, merged.classes, part.rows)
    assert faces_of_predictions(faces, predictions).rows.tolist() == merged.rows.tolist()
    with raises(DataError, "data-differs"):
        faces_of_predictions(faces, make_predictions(1 - part.labels, merged.classes, part.rows))


def test_an_own_scheme_is_inferred_from_labels_of_the_same_data(faces):
    """Oracle: the faces under the scheme itself. Without a fingerprint, other data could have such labels by chance."""
    for text in ("good=happy+surprise,bad=sad+angry", "positive=happy,negative=sad", "sad=fear+sad,happy=happy"):
        merged = faces.with_scheme(parse_scheme(text))
        part = merged.of_split("validation")
        predictions = make_predictions(part.labels, merged.classes, part.rows, fingerprint=faces.fingerprint)
        found = faces_of_predictions(faces, predictions)
        assert (found.rows.tolist(), found.labels.tolist()) == (merged.rows.tolist(), merged.labels.tolist())
        code = "data-differs" if "positive" in text else "classes-differ"
        with raises(DataError, code):
            faces_of_predictions(faces, replace(predictions, data_fingerprint=""))
        named = faces_of_predictions(faces, replace(predictions, data_fingerprint="", scheme=text))
        assert named.rows.tolist() == merged.rows.tolist()
        mixed = np.where(np.arange(len(part)) % 2 == 0, part.labels, 1 - part.labels)
        with raises(DataError, "data-differs"):
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
        with raises(DataError, "data-differs"):
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


def test_a_robustness_file_of_another_model_or_split_is_left_out(faces, tiny_run, tmp_path):
    """Oracle: what the file says of itself; a run folder and the model file in it are one model."""
    shares, one = np.full((2, len(STRENGTHS)), 0.5), Estimate(0.5, 0.4, 0.6)
    result, folder = RobustnessResult(("blur", "noise"), shares, one, one, 7, 0), tmp_path / "measured"
    write_robustness(folder, replace(result, model=str(tiny_run.path), data="faces.parquet", split="validation"))
    predictions = make_predictions([0, 1, 2, 3, 4, 5, 6], faces.classes)
    for name in (str(tiny_run.model), str(tiny_run.path), None):
        found = find_robustness([tmp_path, folder / "robustness.json"], predictions, name)
        assert (found.model, found.data, found.split) == (str(tiny_run.path), "faces.parquet", "validation")
        for value in (tiny_run.path, "7 ", "validation", "faces.parquet"):
            assert str(value) in found.description
    for other, name in ((replace(predictions, split="train"), None), (predictions, "runs/other")):
        refused = find_robustness([folder], other, name)
        assert refused.code == "robustness-skipped"
        assert str(folder / "robustness.json") in refused
    write_robustness(tmp_path / "first", replace(result, model="other", data="x", split="train"))
    assert find_robustness([tmp_path / "first", folder], predictions, None).split == "validation", "the first that fits"
    named = replace(result, model="m", data="faces.parquet", split="validation", data_fingerprint="sha256:one")
    write_robustness(folder, named)
    for fingerprint, code in (("sha256:one", None), ("", None), ("sha256:two", "robustness-skipped")):
        found = find_robustness([folder], replace(predictions, data_fingerprint=fingerprint), None)
        assert getattr(found, "code", None) == code, fingerprint
    assert find_robustness([tmp_path / "none"], predictions, None).code == "robustness-not-measured"
    assert find_robustness([tmp_path], replace(predictions, split="test"), None).code == "robustness-skipped"


def nearest_neighbour(faces):
    """Predictions for validation by the most similar image of train, as a model that learnt them by heart."""
    train, validation = faces.of_split("train"), faces.of_split("validation")
    known, asked = (each.images.reshape(len(each), -1).astype(np.float32) for each in (train, validation))
    distance = (known**2).sum(axis=1) - 2 * asked @ known.T
    said = np.eye(len(faces.classes))[train.labels[distance.argmin(axis=1)]] * 0.9 + 0.1 / len(faces.classes)
    return Predictions(validation.rows, validation.labels, said, faces.classes, "validation", "")


def test_frames_beside_those_of_train_are_leaked_and_flatter():
    """120 sequences of three frames: one frame of 30 of them, and all frames of another 15, are validation."""
    images, labels, people = rendered_people(30, 4, 3, seed=8)
    split = np.full(360, "train", dtype="<U10").reshape(120, 3)
    split[:30, 0] = "validation"
    split[105:] = "validation"
    faces = Dataset.from_arrays(images, labels, classes=[*"abcdefg"], split=split.ravel(), groups=people)
    measured = MeasuredSplit.resolve(nearest_neighbour(faces), faces)
    assert np.array_equal(measured.predictions.groups, faces.of_split("validation").groups)
    parts = {each.value: each for each in measured.subsets()}
    assert parts["all samples"].count == 75
    assert 43 <= parts["without leaked samples"].count <= 47
    assert parts["without conflicting copies"].count == 75, "no two images are identical"
    assert parts["all samples"].accuracy.value - parts["without leaked samples"].accuracy.value > 0.2
    trained = set(people.reshape(120, 3)[:105].ravel().tolist())
    unseen = sum(person not in trained for person in people.reshape(120, 3)[105:].ravel().tolist())
    assert parts["without groups seen before (group)"].count == unseen


@pytest.fixture
def otherwise(faces):
    """The faces under another cut: the places of all splits moved on by a third."""
    return Dataset.from_arrays(
        faces.images, np.array(faces.classes)[faces.labels], classes=faces.classes,
        split=np.roll(faces.split, len(faces) // 3), size_px=faces.images.shape[1],
    )  # fmt: skip


def seen(trained, measured, split):
    """Samples whose image was trained on, and those of them that no image of an earlier split is identical to."""
    known = {image.tobytes() for image in trained.of_split("train").images}
    earlier = ("train",) if split == "validation" else ("train", "validation")
    own = {image.tobytes() for each in earlier for image in measured.of_split(each).images}
    shown = [image.tobytes() for image in measured.of_split(split).images]
    return np.array([image in known for image in shown]), np.array([image in known - own for image in shown])


def counts(result):
    return {each.value: each.count for each in result.evaluation.subsets}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_other_splits_of_the_same_data_are_counted_and_left_out(own_run, faces, otherwise, split):
    trained, cut_otherwise = seen(faces, otherwise, split)
    assert cut_otherwise.sum() > 0
    with warned("trained-on", cut_otherwise.sum()):
        result = package.evaluate(own_run.path, otherwise, split=split)
    assert result.to_dict()["trained_on"] == cut_otherwise.sum()
    masks = subset_masks(otherwise, result.predictions)
    assert counts(result)["without leaked samples"] == (masks["without leaked samples"] & ~trained).sum()
    if split == "validation":
        measured = package.robustness(own_run.path, otherwise)
        assert measured.trained_on == measured.to_dict()["trained_on"] == cut_otherwise.sum()
        assert f" {measured.trained_on} of " in str(measured).splitlines()[-1]


def test_a_model_that_ships_knows_what_it_learnt(fer2013_faces):
    """Faces of FER2013's Training, as a stranger to them may measure on. Oracle: their number."""
    train = np.flatnonzero(fer2013_faces.split == "train")[::500]
    some = replace(fer2013_faces.subset(train), split=np.resize(np.array(["train", "validation"]), len(train)))
    for split, count in (("train", (len(train) + 1) // 2), ("validation", len(train) // 2)):
        with warned("trained-on", count):
            package.evaluate("fast", some, split=split)


def test_what_a_label_scheme_drops_was_not_trained_on(tiny_recipe, faces, tmp_path):
    """A disgusted face of train is a sad one of validation, too. Six classes have no disgust."""
    images, labels = np.array(faces.images), faces.labels
    of_train = np.flatnonzero((faces.split == "train") & (labels == faces.classes.index("disgust")))[0]
    held_out = np.flatnonzero((faces.split == "validation") & (labels == faces.classes.index("sad")))[0]
    images[held_out] = images[of_train]
    data = replace(faces, images=images)
    result = package.train(tiny_recipe.model_copy(update={"classes": "six", "epochs": 1}), data, out=tmp_path / "run")
    known = read_trained_on(RunFolder(result.run))
    assert len(known)
    assert image_digests(images, np.array([held_out]))[0] not in known
    assert "trained_on" not in package.evaluate(result.model, data).to_dict()


def test_a_run_knows_what_its_first_weights_were_trained_on(tiny_run, faces, tmp_path, own_run, otherwise):
    run = RunFolder(tmp_path / "run")
    write_trained_on(run, faces.subset(faces.split == "test"), start=tiny_run)
    assert set(read_trained_on(run)) == set(read_trained_on(tiny_run))
    assert "trained_on" not in package.evaluate(tiny_run.path, faces).to_dict()
    own_run.trained_on.unlink()
    assert "trained_on" not in package.evaluate(load(own_run.path), otherwise).to_dict()


class Dies(package.Callback):
    def on_epoch_end(self, metrics, is_best):
        if metrics["epoch"] == 2:
            raise ConnectionResetError


def test_a_killed_run_that_is_resumed_without_its_start_knows_it_too(tiny_run, otherwise, tiny_recipe, tmp_path):
    recipe, run = tiny_recipe.model_copy(update={"epochs": 2}), RunFolder(tmp_path / "run")
    with pytest.raises(ConnectionResetError):
        package.train(recipe, otherwise, out=run.path, init_from=tiny_run.path, callback=Dies())
    for _ in range(2):
        package.train(recipe, otherwise, out=run.path, resume=True)
        assert set(read_trained_on(run)) > set(read_trained_on(tiny_run))


def test_the_command_notes_it_and_writes_it(mien, tiny_run, faces, otherwise, tmp_path):
    write_parquet(otherwise, tmp_path / "other.parquet")
    out = tmp_path / "out"
    answer = ran(mien("evaluate", tiny_run.path, "--data", tmp_path / "other.parquet", "--json", "--out", out))
    assert "trained-on" in note_codes(answer.err)
    count = seen(faces, otherwise, "validation")[1].sum()
    assert json.loads(answer.out)["trained_on"] == count
    written = json.loads((out / "metrics.json").read_text())
    assert written["trained_on"] == count
    assert "trained-on" in page_codes((out / "report.html").read_text())
    again, data = out / "report-validation", tmp_path / "other.parquet"
    for model in ((), ("--model", tiny_run.path)):  # the predictions know it too
        ran(mien("report", out, "--data", data, *model, "--no-explain"))
        assert "trained-on" in page_codes((again / "report.html").read_text())
        table = json.loads((again / "tables" / "without-copies.json").read_text())
        assert [row["samples"] for row in table] == [each["count"] for each in written["subsets"]]
    other = replace(read_predictions(out / "predictions_validation.npz"), trained_on=None)
    for pair in ((out, other), (other, out)):
        compared, expected = package.compare(*pair, data).subsets, [(each["count"],) * 2 for each in written["subsets"]]
        assert [(one.count, two.count) for one, two in compared] == expected
    alone = mien("evaluate", "--predictions", out / "predictions_validation.npz", "--json")
    assert json.loads(alone.out)["trained_on"] == count


@pytest.mark.parametrize("damage", [lambda content: content[:-3], lambda _: b"PK\x03\x04", lambda _: b""])
def test_a_damaged_file_is_one_line_before_the_test_split_is_used(own_run, otherwise, damage):
    own_run.trained_on.write_bytes(damage(own_run.trained_on.read_bytes()))
    with raises(RunError, "run-damaged", own_run.trained_on):
        package.evaluate(own_run.path, otherwise, split="test")
    assert own_run.test_uses() == 0
