"""Oracles: what each run was given, seen from outside; models asked by hand; a second call that must not train."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from mien.errors import DataError, ModelError, RecipeError, RunError
from mien.evaluation.scores import read_scores
from mien.experiments import out_of_fold
from mien.experiments.out_of_fold import SPLIT, score_out_of_fold
from mien.inference.classifier import Classifier
from mien.recipe import ModelRecipe
from mien.run_folder import RunFolder


@pytest.fixture
def short_recipe(tiny_recipe, monkeypatch):
    monkeypatch.setattr(out_of_fold, "FOLDS", 2)
    return tiny_recipe.model_copy(update={"epochs": 1})


def view(recipe, faces):
    return nullcontext()


def test_no_row_and_no_copy_of_it_is_learnt(short_recipe, faces, tmp_path, monkeypatch):
    given = []
    real = out_of_fold.run_recipe

    def spy(recipe, learnt, run, **others):
        given.append(learnt)
        return real(recipe, learnt, run, **others)

    monkeypatch.setattr(out_of_fold, "run_recipe", spy)
    groups = np.arange(len(faces)) // 2
    faces = replace(faces, cleaned_from=("sha256:before", "sha256:before without test"))
    scores = score_out_of_fold(short_recipe, faces, groups, tmp_path, view=view, tell=lambda words: None)
    assert sorted(scores.rows.tolist()) == sorted(faces.rows[faces.split != "test"].tolist())
    assert (scores.split, scores.data_fingerprint) == (SPLIT, faces.fingerprint_for_scores(SPLIT))
    group_of = dict(zip(faces.rows.tolist(), groups.tolist(), strict=True))
    done = 0
    for fold, learnt in enumerate(given, 1):
        own = read_scores(RunFolder(tmp_path / f"fold-{fold}").scores(SPLIT))
        assert set(faces.split[np.isin(faces.rows, learnt.rows)]) == {"train"}, "nothing of validation or test"
        chooses = learnt.split == "validation"
        assert 0.05 < chooses.mean() < 0.2
        kinds = [{group_of[row] for row in learnt.rows[each].tolist()} for each in (chooses, ~chooses)]
        assert not kinds[0] & kinds[1], "copies stay on one side"
        assert not {group_of[row] for row in own.rows.tolist()} & {group_of[row] for row in learnt.rows.tolist()}
        part = faces.subset(np.isin(faces.rows, own.rows))
        model = Classifier(tmp_path / f"fold-{fold}" / "model.onnx")
        answers = model.probabilities(np.asarray(part.images))
        assert (own.temperature, model.manifest.cleaned_from) == (model.manifest.temperature, ())
        assert own.probabilities == pytest.approx(answers, abs=1e-6)
        assert own.labels.tolist() == part.labels.tolist()
        assert np.array_equal(scores.rows[done : done + len(own)], own.rows)
        done += len(own)
    assert done == len(scores)


def test_what_is_finished_is_not_done_again(short_recipe, faces, tmp_path, monkeypatch):
    groups = np.arange(len(faces))
    arguments = (short_recipe, faces, groups, tmp_path)
    real, begun = out_of_fold.run_recipe, []

    def interrupted(recipe, learnt, run, **others):
        begun.append(run.path.name)
        result = real(recipe, learnt, run, **others)
        reason = "interrupted" if len(begun) == 2 else result.outcome.reason
        return replace(result, outcome=replace(result.outcome, reason=reason))

    monkeypatch.setattr(out_of_fold, "run_recipe", interrupted)
    assert score_out_of_fold(*arguments, view=view, tell=lambda words: None) is None
    assert begun == ["fold-1", "fold-2"]
    assert not (tmp_path / "scores_out-of-fold.npz").exists()
    told = []
    scores = score_out_of_fold(*arguments, view=view, tell=told.append)
    assert begun[2:] == ["fold-2"]
    assert len(told) == 1
    again = score_out_of_fold(*arguments, view=view, tell=told.append)
    assert len(told) == 1
    assert np.array_equal(again.probabilities, scores.probabilities)
    assert np.array_equal(read_scores(tmp_path / "scores_out-of-fold.npz").probabilities, scores.probabilities)


def test_a_run_killed_inside_a_fold_ends_as_an_unbroken_one(short_recipe, faces, tmp_path):
    """Killed after the first of three epochs of the second fold: taken up behind it, with the same numbers."""
    recipe, groups = short_recipe.model_copy(update={"epochs": 3}), np.arange(len(faces))
    whole = score_out_of_fold(recipe, faces, groups, tmp_path / "whole", view=view, tell=print)
    begun = []

    class Killed:
        def step(self, epoch, faces, loss):
            if len(begun) == 2 and epoch == 2:
                raise SystemExit

        def epoch(self, line, is_best):
            pass

    def kills(recipe, faces):
        begun.append(faces)
        return nullcontext(Killed())

    with pytest.raises(SystemExit):
        score_out_of_fold(recipe, faces, groups, tmp_path / "cut", view=kills, tell=print)
    assert len(RunFolder(tmp_path / "cut" / "fold-2").read_history()) == 1
    with pytest.raises(RunError, match="fold-1 was begun by another recipe"):
        score_out_of_fold(short_recipe, faces, groups, tmp_path / "cut", view=view, tell=print)
    told = []
    again = score_out_of_fold(recipe, faces, groups, tmp_path / "cut", view=view, tell=told.append)
    assert [words.split(":")[0] for words in told] == ["fold 2 of 2"]
    assert np.array_equal(again.rows, whole.rows)
    assert np.array_equal(again.probabilities, whole.probabilities)


def test_a_finished_fold_that_learnt_something_else_is_not_taken_for_this_one(
    short_recipe, faces, tmp_path, monkeypatch
):
    """Other copies: the folds' own rows may be the same, what their models learnt is not."""
    score_out_of_fold(short_recipe, faces, np.arange(len(faces)), tmp_path, view=view, tell=print)
    monkeypatch.setattr(out_of_fold, "CHOOSING", 5)
    with pytest.raises(RunError, match="was begun on other data"):
        score_out_of_fold(short_recipe, faces, np.arange(len(faces)), tmp_path, view=view, tell=print)


def test_recipes_and_data_that_cannot_be_judged(short_recipe, faces, tmp_path):
    merging = short_recipe.model_copy(update={"classes": "binary"})
    with pytest.raises(RecipeError, match="merges or drops classes"):
        score_out_of_fold(merging, faces, np.arange(len(faces)), tmp_path, view=view, tell=print)
    part = faces.of_split("validation")
    with pytest.raises(DataError, match="need a train split"):
        score_out_of_fold(short_recipe, part, np.arange(len(part)), tmp_path, view=view, tell=print)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def untrained(monkeypatch):
    """Training is an error: whatever is refused is refused before it."""

    def too_late(*arguments, **others):
        raise AssertionError("a fold is trained already")

    monkeypatch.setattr(out_of_fold, "run_recipe", too_late)


def judge(recipe, faces, folder, groups=None):
    groups = np.arange(len(faces)) if groups is None else groups
    return score_out_of_fold(recipe, faces, groups, folder, view=view, tell=print)


def test_a_class_without_a_train_row_is_refused_before_anything(short_recipe, faces, tmp_path, untrained):
    sad = faces.classes.index("sad")
    lacking = faces.subset((faces.labels != sad) | (faces.split != "train"))
    assert (lacking.labels == sad).any()
    with pytest.raises(DataError, match="No row of train is of the class 'sad'"):
        out_of_fold.check_recipe(short_recipe, lacking, tmp_path)
    nobody = faces.subset(faces.labels != sad)
    with pytest.raises(DataError, match="No row of train is of the class 'sad'"):
        out_of_fold.check_recipe(short_recipe, nobody, tmp_path)


def test_missing_weights_are_refused_before_anything(short_recipe, faces, tmp_path, timm):
    settings = {"backbone": "test_resnet", "pretrained": True, "weights": str(tmp_path / "none.safetensors")}
    model = ModelRecipe.model_validate({"name": "timm", **settings})
    with pytest.raises(ModelError, match="does not exist"):
        out_of_fold.check_recipe(short_recipe.model_copy(update={"model": model}), faces, tmp_path / "out")


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"sampling": "oversample"}, "needs a face of every class; the train split has none of 'disgust'"),
        ({"sampling": "mixup"}, "needs two faces of every class"),
        ({"logit_adjustment": 1.0}, "logit_adjustment needs faces of every class"),
    ],
)
def test_a_fold_that_lacks_a_class_to_balance_is_refused_before_the_first(
    update, words, short_recipe, faces, tmp_path, untrained
):
    """All rows of one class are copies of one picture: whichever fold holds them, the other has none to learn."""
    disgust = faces.labels == faces.classes.index("disgust")
    groups = np.where(disgust, -1, np.arange(len(faces)))
    balanced = short_recipe.model_copy(update={"balance": short_recipe.balance.model_copy(update=update)})
    with pytest.raises(DataError, match=rf"Fold \d of 2 cannot be learnt\. balance.*{words.split('; ')[-1]}"):
        judge(balanced, faces, tmp_path, groups)
    assert not list(tmp_path.iterdir())


def test_a_later_fold_of_other_data_is_refused_before_the_first(short_recipe, faces, tmp_path, untrained):
    """The second fold was begun by the same recipe, and learnt rows with other labels."""
    other = replace(faces, labels=(faces.labels + 1) % 7)
    run = RunFolder(tmp_path / "fold-2")
    complete = out_of_fold.completed(short_recipe)
    run.create(complete, {"data_fingerprint": other.fingerprint})
    with pytest.raises(RunError, match="fold-2 was begun on other data"):
        judge(short_recipe, faces, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["fold-2"]
