"""Samples that a model was trained on are known again, however the data is cut. Oracle: sets of the images' bytes."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import mien as package
from mien.base.errors import RunError
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.parquet import write_parquet
from mien.evaluation.predictions import read_predictions
from mien.inference.predictor import load
from mien.pipeline.measured_split import image_digests, read_trained_on, subset_masks, write_trained_on
from support import note_codes, page_codes, raises, warned


@pytest.fixture
def otherwise(faces):
    """The faces under another cut: the places of all splits moved on by a third."""
    return Dataset.from_arrays(
        faces.images,
        np.array(faces.classes)[faces.labels],
        classes=faces.classes,
        split=np.roll(faces.split, len(faces) // 3),
        size_px=faces.images.shape[1],
    )


def seen(trained, measured, split):
    """Samples whose image was trained on, and those of them that no image of an earlier split is identical to."""
    known = {image.tobytes() for image in trained.of_split("train").images}
    earlier = ("train",) if split == "validation" else ("train", "validation")
    own = {image.tobytes() for each in earlier for image in measured.of_split(each).images}
    shown = [image.tobytes() for image in measured.of_split(split).images]
    return np.array([image in known for image in shown]), np.array([image in known - own for image in shown])


def counts(result):
    return {each.value: each.count for each in result.evaluation.subsets}


def test_the_data_that_a_model_was_trained_on_gives_no_warning(tiny_run, faces):
    assert "trained_on" not in package.evaluate(tiny_run.path, faces).to_dict()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_other_splits_of_the_same_data_are_counted_and_left_out(tiny_run, faces, otherwise, split, tmp_path):
    trained, cut_otherwise = seen(faces, otherwise, split)
    assert cut_otherwise.sum() > 0
    shutil.copytree(tiny_run.path, tmp_path / "run")
    with warned("trained-on", cut_otherwise.sum()):
        result = package.evaluate(tmp_path / "run", otherwise, split=split)
    assert result.to_dict()["trained_on"] == cut_otherwise.sum()
    masks = subset_masks(otherwise, result.predictions)
    assert counts(result)["without leaked samples"] == (masks["without leaked samples"] & ~trained).sum()
    if split == "validation":
        measured = package.robustness(tmp_path / "run", otherwise)
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


def test_a_run_knows_what_its_first_weights_were_trained_on(tiny_run, faces, tmp_path):
    run = RunFolder(tmp_path / "run")
    write_trained_on(run, faces.subset(faces.split == "test"), start=tiny_run)
    assert set(read_trained_on(run)) == set(read_trained_on(tiny_run))


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
    answer = mien("evaluate", tiny_run.path, "--data", tmp_path / "other.parquet", "--json", "--out", out)
    assert answer.code == 0, answer.err
    assert "trained-on" in note_codes(answer.err)
    count = seen(faces, otherwise, "validation")[1].sum()
    assert json.loads(answer.out)["trained_on"] == count
    written = json.loads((out / "metrics.json").read_text())
    assert written["trained_on"] == count
    assert "trained-on" in page_codes((out / "report.html").read_text())
    again, data = out / "report-validation", tmp_path / "other.parquet"
    for model in ((), ("--model", tiny_run.path)):  # the predictions know it too
        report = mien("report", out, "--data", data, *model, "--no-explain")
        assert report.code == 0, report.err
        assert "trained-on" in page_codes((again / "report.html").read_text())
        table = json.loads((again / "tables" / "without-copies.json").read_text())
        assert [row["samples"] for row in table] == [each["count"] for each in written["subsets"]]
    other = replace(read_predictions(out / "predictions_validation.npz"), trained_on=None)
    for pair in ((out, other), (other, out)):
        compared = package.compare(*pair, data).subsets
        assert [(one.count, two.count) for one, two in compared] == [
            (each["count"],) * 2 for each in written["subsets"]
        ]
    alone = mien("evaluate", "--predictions", out / "predictions_validation.npz", "--json")
    assert json.loads(alone.out)["trained_on"] == count


@pytest.mark.parametrize("damage", [lambda content: content[:-3], lambda _: b"PK\x03\x04", lambda _: b""])
def test_a_damaged_file_is_one_line_before_the_test_split_is_used(tiny_run, otherwise, tmp_path, damage):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    run.trained_on.write_bytes(damage(run.trained_on.read_bytes()))
    with raises(RunError, "trained-on-damaged", run.trained_on):
        package.evaluate(run.path, otherwise, split="test")
    assert run.test_uses() == 0


def test_a_run_of_before_has_no_digests(tiny_run, otherwise, tmp_path):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    run.trained_on.unlink()
    assert "trained_on" not in package.evaluate(load(run.path), otherwise).to_dict()
