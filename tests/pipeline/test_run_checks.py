"""What is wrong with a training. Oracles: histories and predictions made by hand; norms that were spoilt on purpose."""

import math
from dataclasses import replace

import numpy as np
import pytest
from torch.nn import functional

from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.evaluation.error_analysis import check_answers
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.pipeline.training_run import check_history, check_run
from mien.training import checkpoint
from mien.training.loop import train
from mien.training.own_parts import Parts
from mien.training.plan import plan_training
from support import noted
from training_support import changed

CLASSES = ("angry", "happy", "sad")


def evaluated(labels, answers):
    probabilities = 0.1 + 0.7 * np.eye(3)[answers]
    return evaluate_predictions(
        Predictions(np.arange(len(labels)), np.asarray(labels), probabilities, CLASSES, "validation", ""), resamples=10
    )


@pytest.mark.parametrize(
    ("answers", "codes", "values"),
    [
        ([1] * 100, ["one-answer", "no-better-than-one-class"], ("100%", "'happy'", "50.0%")),
        ([0] * 96 + [2] * 4, ["one-answer", "no-better-than-one-class"], ("96%", "'angry'", "'happy', 50.0%")),
        ([0] * 20 + [1] * 30 + [0] * 20 + [2] * 30, [], ()),
        ([1] * 20 + [0] * 50 + [2] * 30, ["no-better-than-one-class"], ("30.0%", "33.3%")),
    ],
)
def test_check_run_names_a_model_of_one_class(answers, codes, values):
    """50 of 100 samples are happy, 20 angry, 30 sad."""
    notices = list(check_answers(evaluated([0] * 20 + [1] * 50 + [2] * 30, answers)))
    assert [each.code for each in notices] == codes
    for value in values:
        assert value in " ".join(notices)


def lines(train_loss, validation_loss, train_accuracy=0.5, validation_accuracy=0.5):
    same = {"train_accuracy": train_accuracy, "validation_accuracy": validation_accuracy, "learning_rate": 0.1}
    losses = zip(train_loss, validation_loss, strict=True)
    return [{"train_loss": ours, "validation_loss": theirs, **same} for ours, theirs in losses]


@pytest.mark.parametrize(
    ("history", "code"),
    [
        (lines([2.0, 1.5, 1.2], [2.0, 1.6, 1.5]), None),
        (lines([2.0, 1.9, 2.5], [2.0, 1.9, 2.5]), "rate-too-high"),
        (lines([1.95, 1.95, 1.94], [1.95] * 3, 0.25), "rate-does-nothing"),
        (lines([0.3, 0.3, 0.3], [0.5] * 3, 0.9), None),
        (lines([2, 1.5, 1, 0.8, 0.6, 0.5], [1.5, 1.2, 1.1, 1.0, 1.2, 1.4]), "validation-loss-rises"),
        (lines([2, 1.5, 1, 0.8, 0.6, 0.5], [1.5, 1.2, 1.1, 1.05, 1.0, 1.4]), None),
        (lines([1.0, 0.5, 0.1], [1.0, 0.9, 0.9], 0.99, 0.7), "learnt-by-heart"),
        # 10 ln 3 is 10.99.
        (lines([3.8e8, 9.0], [9.0, 2.0]), "rate-too-high"),
        (lines([10.9, 2.0, 1.0], [2.0, 1.6, 1.5]), None),
        # A loss of the user's own may be negative.
        (lines([-1.0, -1.5, -2.0], [-1.0, -1.5, -2.0]), None),
        (lines([0.5, -0.5, -2.0], [0.5, -0.5, -2.0]), None),
        (lines([-2.0, -1.9, -1.5], [-2.0, -1.9, -1.5]), "rate-too-high"),
        (lines([-1.0, -1.0, -1.0], [-1.0] * 3, 0.25), "rate-does-nothing"),
        (lines([-1, -2, -3, -4, -5, -6], [-1, -2, -3, -3, -3, -3]), None),
        (lines([-1, -2, -3, -4, -5, -6], [-1, -2, -3, -3, -3, -2]), "validation-loss-rises"),
    ],
)
def test_check_history_names_bad_trainings(history, code):
    assert [each.code for each in check_history(history, len(history), 0.25, math.log(3))] == [code] * (
        code is not None
    )


@pytest.mark.parametrize(("sampling", "advised"), [("none", True), ("oversample", False)])
def test_class_weights_are_advised_only_without_balancing(faces, tiny_recipe, sampling, advised):
    recipe = changed(tiny_recipe, balance={"sampling": sampling}, recalibrate_bn=True)
    missed = evaluated([0, 1, 2, 2], [1, 1, 2, 2])
    (told,) = check_run(plan_training(recipe, faces), None, lines([1.0], [1.0]), 1, missed)
    assert (told.code, "class_weights" in told) == ("class-not-recognised", advised)


def test_check_run_names_stale_batch_norms(tmp_path, faces, tiny_recipe):
    """Oracle: statistics that a run was trained with are replaced by those it began with, 0 and 1."""
    bright = np.arange(len(faces)) % 3
    images = (faces.images // 2 + (bright * 60).astype(np.uint8)[:, None, None]).astype(np.uint8)
    data = Dataset(images, bright, CLASSES, faces.split, faces.source, faces.rows)
    run, plan = RunFolder(tmp_path / "run"), plan_training(changed(tiny_recipe, epochs=6, label_smoothing=0.0), data)
    outcome = train(plan, run)
    assert outcome.history[-1]["validation_accuracy"] > 0.6
    good, network = evaluated([0, 1, 2], [0, 1, 2]), checkpoint.load_best(run)[0]
    assert not check_run(plan, network, outcome.history, outcome.best_epoch, good)
    high = [{**line, "train_loss": 11.0} for line in outcome.history]
    assert [each.code for each in check_run(plan, network, high, outcome.best_epoch, good)] == ["rate-too-high"]
    own_loss = replace(plan, parts=Parts(loss=functional.cross_entropy))
    assert not check_run(
        own_loss, network, [{**line, "train_loss": 11.0 - at} for at, line in enumerate(high)], 1, good
    )

    def stale_network():
        network = checkpoint.load_best(run)[0]
        for name, value in network.state_dict().items():
            if "running" in name:
                value.fill_(float(name.endswith("var")))
        return network

    bad = evaluated([0, 1, 2], [0, 0, 0])
    codes = [each.code for each in check_run(plan, stale_network(), outcome.history, outcome.best_epoch, bad)]
    assert codes == ["one-answer", "no-better-than-one-class", "batch-norms-stale"]
    few = replace(plan, steps_per_epoch=1)
    (stale,) = check_run(few, stale_network(), outcome.history[:2], 2, good)
    # Two steps of momentum 0.1 leave 0.9^2.
    assert "after 2 steps 81%" in stale
    recalibrates = replace(few, recipe=changed(plan.recipe, recalibrate_bn=True))
    assert not check_run(recalibrates, stale_network(), outcome.history[:2], 2, good)


def test_training_without_progress_is_noted(mien, tmp_path, tiny_recipe_text, face_folder, faces, capfd):
    from mien.api.train import train as train_and_export

    (tmp_path / "tiny.toml").write_text(tiny_recipe_text)
    words = ("train", tmp_path / "tiny.toml", "--data", face_folder, "--out", tmp_path / "run", "--lr", "1e-9")
    answer = mien(*words, "--epochs", 3)
    noted(answer, "rate-does-nothing", "--find-lr")
    assert "Balanced accuracy" in answer.out
    assert "Always 'happy'" in answer.out
    settings = {"settings": {"optim.lr": 1e-9}, "epochs": 3}
    result = train_and_export(tmp_path / "tiny.toml", faces, out=tmp_path / "again", **settings)
    assert "rate-does-nothing" in [each.code for each in result.notices]
    assert "[rate-does-nothing]" in capfd.readouterr().err
    shown = str(result).splitlines()
    assert f"{result.evaluation.accuracy.value:.1%}" in shown[0]
    assert f"{result.evaluation.evaluation.largest_share:.1%}" in shown[0]
    assert f"of {len(result.history)} kept" in shown[0]
    # Arguments are written as Python writes them: no marks of a sentence for both doors are left.
    assert shown[1:] == [each.line for each in result.notices]
    assert not {"‹", "›"} & set(str(result))
