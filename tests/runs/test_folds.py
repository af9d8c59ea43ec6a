"""Oracles: what each run was given; models asked by hand; a second call; scikit-learn's StratifiedGroupKFold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from mien.base.errors import DataError, RunError, StoppedError
from mien.base.files import write_text
from mien.base.recipe import dump_recipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.splits import deal_groups
from mien.evaluation.predictions import read_predictions
from mien.inference.predictor import Predictor
from mien.runs import folds
from mien.runs.folds import SPLIT, check_audited, check_groups, make_folds, predict_folds
from mien.training.callback import Callback
from support import raises


@pytest.fixture
def short_recipe(tiny_recipe):
    return tiny_recipe.model_copy(update={"epochs": 1})


def cross_val_predictions(recipe, faces, groups, folder, **others):
    return predict_folds(recipe, make_folds(faces, groups, 2, only_train=True), folder, **others)


def test_a_fold_is_not_trained_on_its_samples_or_their_copies(short_recipe, faces, tmp_path, monkeypatch):
    trained, real = [], folds.run_recipe

    def spy(plan, run, **others):
        trained.append(plan.dataset)
        return real(plan, run, **others)

    monkeypatch.setattr(folds, "run_recipe", spy)
    groups = np.arange(len(faces)) // 2
    faces = replace(faces, cleaned_from=("sha256:before", "sha256:before without test"))
    predictions = cross_val_predictions(short_recipe, faces, groups, tmp_path, notify=lambda words: None)
    assert sorted(predictions.sample_ids.tolist()) == sorted(faces.rows[faces.split != "test"].tolist())
    assert (predictions.split, predictions.data_fingerprint) == (SPLIT, faces.fingerprint_for_predictions(SPLIT))
    group_of, done = dict(zip(faces.rows.tolist(), groups.tolist(), strict=True)), 0
    for fold, learnt in enumerate(trained, 1):
        own = read_predictions(RunFolder(tmp_path / f"fold-{fold}").predictions(SPLIT))
        assert set(faces.split[np.isin(faces.rows, learnt.rows)]) == {"train"}, "nothing of validation or test"
        chooses = learnt.split == "validation"
        assert 0.05 < chooses.mean() < 0.2
        kinds = [{group_of[row] for row in learnt.rows[each].tolist()} for each in (chooses, ~chooses)]
        assert not kinds[0] & kinds[1], "copies stay on one side"
        assert not {group_of[row] for row in own.sample_ids.tolist()} & {group_of[row] for row in learnt.rows.tolist()}
        part = faces.subset(np.isin(faces.rows, own.sample_ids))
        model = Predictor(tmp_path / f"fold-{fold}" / "model.onnx")
        answers = model.probabilities(np.asarray(part.images))
        assert (own.temperature, model.manifest.cleaned_from) == (model.manifest.temperature, ())
        assert (own.probabilities, own.labels.tolist()) == (pytest.approx(answers, abs=1e-6), part.labels.tolist())
        assert np.array_equal(predictions.sample_ids[done : done + len(own)], own.sample_ids)
        done += len(own)
    assert done == len(predictions)


def test_folds_resume_a_stopped_fold_and_keep_finished_ones(short_recipe, faces, tmp_path):
    """Oracle: the same call in one go. Stopped after the first of three epochs of the second fold."""
    recipe, groups = short_recipe.model_copy(update={"epochs": 3}), np.arange(len(faces))
    # A process was killed among the first files of this fold.
    write_text(tmp_path / "whole" / "fold-1" / "recipe.toml", dump_recipe(recipe))
    whole = cross_val_predictions(recipe, faces, groups, tmp_path / "whole", notify=print)

    class Stops(Callback):
        runs = epochs = 0

        def on_train_begin(self, training):
            self.runs, self.epochs = self.runs + 1, 0

        def on_epoch_end(self, metrics, is_best):
            self.epochs += 1

        def should_stop(self):
            return (self.runs, self.epochs) == (2, 1)

    arguments = (faces, groups, tmp_path / "cut")
    with raises(StoppedError, "stopped", tmp_path / "cut", "Once more"):
        cross_val_predictions(recipe, *arguments, callback=Stops(), notify=print, advice="Once more")
    assert len(RunFolder(tmp_path / "cut" / "fold-2").read_history()) == 1
    assert not RunFolder(tmp_path / "cut").predictions(SPLIT).exists()
    with raises(RunError, "run-other", "fold-1"):
        cross_val_predictions(short_recipe, *arguments, notify=print)
    RunFolder(tmp_path / "cut" / "fold-1").best.unlink()
    with raises(RunError, "run-other"):
        cross_val_predictions(short_recipe, *arguments, notify=print)
    told = []
    for _ in range(2):
        again = cross_val_predictions(recipe, *arguments, notify=told.append)
        assert [words.split(":")[0] for words in told] == ["fold 2 of 2"]
        assert np.array_equal(again.sample_ids, whole.sample_ids)
        assert np.array_equal(again.probabilities, whole.probabilities)
    kept = read_predictions(RunFolder(tmp_path / "cut").predictions(SPLIT))
    assert np.array_equal(kept.probabilities, whole.probabilities)


@pytest.mark.parametrize(
    "update",
    [{"sampling": "undersample"}, {"sampling": "oversample"}, {"sampling": "batches"}, {"logit_adjustment": 1.0}],
)
def test_folds_reject_a_fold_that_lacks_a_class_to_balance(update, short_recipe, faces, tmp_path, monkeypatch):
    """All rows of one class are copies of one image: whichever fold holds them, the other has none to learn."""
    groups = np.where(faces.labels == faces.classes.index("disgust"), -1, np.arange(len(faces)))
    balanced = short_recipe.model_copy(update={"balance": short_recipe.balance.model_copy(update=update)})
    monkeypatch.setattr(folds, "run_recipe", lambda *_, **__: pytest.fail("a fold is trained already"))
    with raises(DataError, "class-too-small", "of 2", "none of 'disgust'"):
        cross_val_predictions(balanced, faces, groups, tmp_path, notify=print)
    assert not list(tmp_path.iterdir())


def unevenness(labels, fold_of, count):
    held = np.stack([np.bincount(labels[fold_of == fold], minlength=labels.max() + 1) for fold in range(count)])
    return (held / held.sum(axis=0)).std(axis=0).mean()


def test_folds_spread_classes_as_evenly_as_scikit_learn():
    random = np.random.default_rng(1)
    groups, labels = random.integers(0, 60, 900), random.choice(5, 900, p=[0.05, 0.15, 0.2, 0.25, 0.35])
    ours, theirs = deal_groups(groups, labels, 5), np.zeros(900, dtype=np.int64)
    for fold, (_, inside) in enumerate(StratifiedGroupKFold(5).split(labels, labels, groups)):
        theirs[inside] = fold
    assert unevenness(labels, ours, 5) <= 1.1 * unevenness(labels, theirs, 5)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=80), st.integers(2, 6))
def test_folds_keep_groups_whole_and_are_never_empty(groups, count):
    groups = np.array(groups)
    if len(np.unique(groups)) < count:
        return
    fold_of = deal_groups(groups, np.arange(len(groups)) % 3, count)
    assert all(len(np.unique(fold_of[groups == group])) == 1 for group in groups)
    assert np.array_equal(np.unique(fold_of), np.arange(count))


def people(groups, labels):
    images = np.random.default_rng(0).integers(0, 256, (len(groups), 48, 48), dtype=np.uint8)
    split = np.where(np.arange(len(groups)) % 5 == 1, "validation", "train")
    return Dataset.from_arrays(images, labels, split=split, groups=groups)


def test_a_fold_is_not_trained_on_the_groups_that_it_predicts():
    faces = people(np.arange(60) // 3, ["happy", "sad"] * 30)
    plan, predicted = make_folds(faces, faces.groups, 4), []
    for fold in range(plan.count):
        held_out, training = plan.held_out(fold), plan.training(fold)
        parts = [held_out, *(training.of_split(split) for split in ("train", "validation"))]
        owners = [set(each.columns["group"].tolist()) for each in parts]
        assert not owners[0] & owners[1]
        assert not owners[0] & owners[2]
        assert not owners[1] & owners[2]
        assert sum(map(len, parts)) == len(faces), "validation is trained on, too"
        predicted += held_out.rows.tolist()
    assert sorted(predicted) == list(range(60))


def test_folds_reject_too_few_groups_and_a_class_of_one_group(short_recipe, faces):
    sad = faces.classes.index("sad")
    with raises(DataError, "not-auditable", "'sad'"):
        check_audited(short_recipe, faces.subset((faces.labels != sad) | (faces.split != "train")))
    faces = people([0, 0, 1, 1, 2, 2], ["happy", "sad"] * 3)
    with raises(DataError, "options", "--folds 4"):
        check_groups(faces, faces.groups, 4)
    faces = people(["a", "a", "b", "b"], ["happy", "sad", "sad", "sad"])
    with raises(DataError, "class-too-small", "'a'"):
        check_groups(faces, faces.groups, 2)
    names = ["happy", "sad", "sad", "sad"]
    copies = Dataset.from_arrays(faces.images, names, split=["train"] * 4, classes=["happy", "sad"])
    with raises(DataError, "class-too-small", "'happy'", 1):
        check_groups(copies, np.arange(4), 2)
