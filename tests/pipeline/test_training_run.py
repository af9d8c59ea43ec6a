"""Progress, notices and tables that a training shows. Oracle: the history that training leaves."""

import io
import json
import math
import re
import signal
import sys
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import onnxruntime
import pytest
import torch
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from scipy import optimize
from scipy.special import log_softmax
from torch.nn import functional

import mien
from mien.api.train import train as train_and_export
from mien.base import progress
from mien.base.errors import DataError, RunError
from mien.base.labels import FERPLUS_CLASSES
from mien.base.model_file import read_manifest
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.synthetic import synthetic_faces
from mien.evaluation.calibration import apply_temperature, fit_temperature
from mien.evaluation.error_analysis import check_answers
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions, read_predictions
from mien.exporting import to_onnx as export
from mien.inference.predictor import Predictor, load
from mien.pipeline.split_predictions import HALF_WAY, temperature_for_use, vote_temperature_for_use
from mien.pipeline.training_run import check_history, check_run, finish_run, run_recipe
from mien.pipeline.training_view import HEADER, TrainProgress
from mien.training import checkpoint, state
from mien.training.callback import Callback
from mien.training.loop import Outcome, train
from mien.training.plan import Parts, plan_training
from support import noted, raises
from training_support import Recorder, changed


def test_votes_output_has_its_own_temperature(voted_run, voted_faces):
    """Oracle: scipy's minimum of the cross-entropy between validation's votes and the output's own answers."""
    manifest, validation = read_manifest(voted_run.model), voted_faces.of_split("validation")
    votes = validation.votes / validation.votes.sum(axis=1, keepdims=True)
    logarithms = np.log(load(voted_run.model, output="perceived").probabilities(validation.images, 1.0))

    def loss(inverse):
        return -(votes * log_softmax(inverse * logarithms, axis=1)).sum(axis=1).mean()

    expected = 1 / optimize.minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9}).x
    expected **= len(validation) / (len(validation) + HALF_WAY)
    assert manifest.outputs["perceived"].temperature == pytest.approx(expected, rel=1e-4)
    assert manifest.outputs["perceived"].temperature not in {1.0, manifest.temperature}
    assert manifest.outputs["fer2013"].temperature == manifest.temperature
    model, asked = load(voted_run.model, output="perceived"), np.arange(len(voted_faces)) % 3 > 0
    some = replace(voted_faces, votes=np.where(asked[:, None], voted_faces.votes, 0), vote_classes=FERPLUS_CLASSES)
    found = vote_temperature_for_use(model, some)
    assert found == vote_temperature_for_use(model, voted_faces.subset(asked)), "faces without votes have no part in it"
    assert found != vote_temperature_for_use(model, voted_faces)
    none = replace(voted_faces, votes=np.zeros_like(voted_faces.votes), vote_classes=FERPLUS_CLASSES)
    assert vote_temperature_for_use(model, none) == 1


@pytest.mark.parametrize("moment", ["in training", "while it is exported"])
def test_run_is_locked_while_it_trains_and_exports(tmp_path, faces, tiny_recipe, monkeypatch, moment):
    """Oracle: who comes second is refused, takes nothing away, and may go on after the first."""
    run, tried = RunFolder(tmp_path / "run"), []
    half_written = run.path / ".model.onnx.0.part"

    def come_second():
        half_written.touch()
        with raises(RunError, "run-locked"):
            run_recipe(plan_training(tiny_recipe, faces), run, resume=True)
        assert half_written.exists()
        tried.append(moment)

    class Noted(Callback):
        def on_epoch_end(self, line, is_best):
            if moment == "in training" and not tried:
                come_second()

    measure = export.measure_parity

    def measured(*arguments):
        if moment == "while it is exported" and not tried:
            come_second()
        return measure(*arguments)

    monkeypatch.setattr(export, "measure_parity", measured)
    assert run_recipe(plan_training(tiny_recipe, faces), run, callback=Noted()).reason == "all epochs done"
    assert tried == [moment]
    assert run_recipe(plan_training(tiny_recipe, faces), run, resume=True).reason == "all epochs done"
    assert not half_written.exists()
    assert not (run.path / ".mien.lock").exists()


def test_run_folder_has_all_files_and_metrics_equal_the_history(tiny_run, faces):
    """The history's best epoch, measured by torch, and the exported file agree on the validation split alone."""
    best = tiny_run.read_history()[read_manifest(tiny_run.model).epoch - 1]
    scores = read_manifest(tiny_run.model).scores
    for name in ("validation_accuracy", "validation_macro_f1", "validation_macro_auc"):
        assert scores[name] == pytest.approx(best[name]), name
    assert best["validation_macro_f1"] != pytest.approx(best["validation_macro_auc"])
    assert scores["validation_log_loss"] == pytest.approx(best["validation_loss"], abs=1e-5)
    measured = json.loads((tiny_run.path / "metrics.json").read_text())["headline"]
    assert scores == {f"validation_{name}": figure["value"] for name, figure in measured.items()}
    predictions = read_predictions(tiny_run.predictions("validation"))
    assert predictions.sample_ids.tolist() == faces.of_split("validation").rows.tolist()
    documented = (
        "recipe.toml environment.json history.csv last.safetensors best.safetensors model.onnx metrics.json tables "
        "report.html predictions_validation.npz trained_on.npy figures methods.tex hyperparameters.tex references.bib"
    )
    assert {file.name for file in tiny_run.path.iterdir()} == {*documented.split()}
    assert (tiny_run.path / "figures" / "confusion.svg").is_file()
    assert (tiny_run.path / "tables" / "classification-report.tex").read_text().startswith(r"\begin{table}")


def test_temperature_is_stored_but_not_used_in_validation_metrics(tiny_run, faces):
    predictions = read_predictions(tiny_run.predictions("validation"))
    model, stored = Predictor(tiny_run.model), predictions.probabilities
    temperature = fit_temperature(predictions.labels, stored) ** (len(stored) / (len(stored) + HALF_WAY))
    assert model.manifest.temperature == temperature != 1
    images = faces.of_split("validation").images
    assert np.allclose(model.probabilities(images, 1.0), stored, atol=1e-12)
    assert np.allclose(model.probabilities(images), apply_temperature(stored, temperature), atol=1e-12)
    assert temperature_for_use(np.arange(2), np.array([[0.8, 0.2], [0.3, 0.7]])) == 1.0


@pytest.mark.parametrize("count", [8, 800])
def test_temperature_of_few_samples_is_moved_towards_1(count):
    """Oracle: the fit itself, in its logarithm. Sure and mostly right: 0.07 on 8 faces would make every answer sure."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, count)
    logits = random.normal(size=(count, 4)) + 3 * np.eye(4)[labels]
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    share = np.log(temperature_for_use(labels, np.exp(logits))) / np.log(fit_temperature(labels, np.exp(logits)))
    assert share == pytest.approx({8: 0.074, 800: 0.889}[count], abs=1e-3)


def test_manifest_omits_undefined_metrics_and_a_failed_start_leaves_no_folder(tmp_path, faces, tiny_recipe):
    """Validation holds one class of two: its AUC is undefined, the model is fine."""
    labels = np.where(faces.split == "validation", 0, np.arange(len(faces)) % 2)
    lame = Dataset(faces.images, labels, ("a", "b"), faces.split, faces.source, faces.rows)
    run = RunFolder(tmp_path / "run")
    run_recipe(plan_training(tiny_recipe, lame), run)
    scores = load(run.path).manifest.scores
    assert "validation_accuracy" in scores
    assert "validation_macro_auc" not in scores
    with pytest.raises(DataError):
        run_recipe(plan_training(tiny_recipe, faces.of_split("validation")), RunFolder(tmp_path / "a" / "b"))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("damaged", [False, True])
def test_resuming_a_finished_run_only_measures_it(tiny_run, own_run, tiny_recipe, faces, damaged):
    """Oracle: the files of the first time. A damaged model is exported again."""
    if damaged:
        own_run.model.write_bytes(b"cut off")
    result = run_recipe(plan_training(tiny_recipe, faces), own_run, resume=True)
    first = read_predictions(tiny_run.predictions("validation"))
    assert result.run == own_run.path
    assert np.array_equal(result.predictions.probabilities, first.probabilities)
    assert result.evaluation.to_dict() == json.loads((tiny_run.path / "metrics.json").read_text())
    assert (own_run.path / "history.csv").read_bytes() == (tiny_run.path / "history.csv").read_bytes()


def test_new_weights_remove_derived_files(own_run, tiny_recipe, faces):
    """Measured again, a model keeps its smaller forms and soft labels; other weights in its place take them away."""
    derived = [own_run.model_int8, own_run.model_fp16, own_run.predictions("train"), own_run.path / "robustness.json"]
    for file in derived:
        file.write_bytes(b"of the model as it was")
    assert run_recipe(plan_training(tiny_recipe, faces), own_run, resume=True).removed == ()
    assert all(file.is_file() for file in derived)
    tensors, facts = checkpoint.load(own_run.best)
    checkpoint.save(own_run.best, tensors, {**facts, "epoch": facts["epoch"] + 1})
    outcome = Outcome(own_run.read_history(), 1, "all epochs done")
    finish = finish_run(plan_training(tiny_recipe, faces), own_run, outcome)
    assert set(finish.removed) == {file.name for file in derived}
    assert not any(file.exists() for file in derived)
    assert own_run.model.is_file()


@pytest.mark.parametrize("scheme", ["all", "binary"])
def test_training_builds_a_network_twice_and_exports_it_once(tmp_path, faces, tiny_recipe, monkeypatch, scheme):
    """One network is trained, one exported, whatever the classes."""
    calls = Counter()

    def count(module, name):
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, **k: calls.update([name]) or function(*a, **k))

    for module, name in (
        (state, "build_model"), (checkpoint, "build_model"), (torch.onnx, "export"), (onnxruntime, "InferenceSession")
    ):  # fmt: skip
        count(module, name)
    mien.train(tiny_recipe, faces, classes=scheme, epochs=1, out=tmp_path / "run", verbose=0)
    assert calls == {"build_model": 2, "export": 1, "InferenceSession": 1}


CLASSES = ("angry", "happy", "sad")


def evaluated(labels, answers):
    probabilities = 0.1 + 0.7 * np.eye(3)[answers]
    return evaluate_predictions(
        Predictions(np.arange(len(labels)), np.asarray(labels), probabilities, CLASSES, "validation", ""), resamples=10
    )


@pytest.mark.parametrize(("answers", "codes", "values"), [
    ([1] * 100, ["one-answer", "no-better-than-one-class"], ("100%", "'happy'", "50.0%")),
    ([0] * 96 + [2] * 4, ["one-answer", "no-better-than-one-class"], ("96%", "'angry'", "'happy', 50.0%")),
    ([0] * 20 + [1] * 30 + [0] * 20 + [2] * 30, [], ()),
    ([1] * 20 + [0] * 50 + [2] * 30, ["no-better-than-one-class"], ("30.0%", "33.3%")),
])  # fmt: skip
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


@pytest.mark.parametrize(("history", "code"), [
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
])  # fmt: skip
def test_check_history_names_bad_trainings(history, code):
    found = [each.code for each in check_history(history, len(history), 0.25, math.log(3))]
    assert found == [code] * (code is not None)


@pytest.mark.parametrize(
    ("sampling", "labels", "advised"),
    [("none", [0, 1, 2, 2], True), ("oversample", [0, 1, 2, 2], False), ("none", [0, 1, 2], False)],
)
def test_class_weights_are_advised_only_for_rare_classes_without_balancing(
    faces, tiny_recipe, sampling, labels, advised
):
    recipe = changed(tiny_recipe, balance={"sampling": sampling}, recalibrate_bn=True)
    missed = evaluated(labels, [1, 1, 2, 2][: len(labels)])
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
    falls = [{**line, "train_loss": 11.0 - at} for at, line in enumerate(high)]
    assert not check_run(own_loss, network, falls, 1, good)

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
    assert "at step 2, which was kept, 81%" in stale
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


def cells(history, epochs):
    """The first columns of each line, from the history."""
    best, lines = (-1.0, 0.0), []
    for line in history:
        value = line["validation_accuracy"], -line["validation_loss"]  # of equal epochs that of the least loss
        star, best = value > best, max(best, value)
        numbers = (
            f"{line['epoch']:.0f}/{epochs} {line['train_loss']:.4f} {line['train_accuracy']:.1%} "
            f"{line['validation_loss']:.4f} {line['validation_accuracy']:.1%} {line['validation_macro_f1']:.1%} "
            f"{line['learning_rate']:.2g}"
        )
        lines.append((numbers, star))
    return lines


def shown(text):
    """The same of what was printed: without seconds and time left, which a clock gives."""
    lines = [line for line in text.splitlines() if re.match(r" *\d+/\d+ ", line)]
    return [(" ".join(line.split()[:7]), line.endswith(" *")) for line in lines]


def test_progress_prints_a_line_per_epoch_with_a_star_for_the_best(tmp_path, faces, tiny_recipe, capsys):
    result, printed = train_and_export(changed(tiny_recipe, epochs=4), faces, out=tmp_path / "run"), capsys.readouterr()
    assert shown(printed.err) == cells(result.history, 4)
    assert "\n".join(HEADER) in printed.err
    assert re.search(r" 4/4 .* 0:00( \*)?$", printed.err, re.MULTILINE), "nothing is left after the last epoch"
    assert printed.out == ""
    train_and_export(tiny_recipe, faces, out=tmp_path / "quiet", verbose=0)
    assert capsys.readouterr().err == ""


def test_progress_of_a_resumed_run_shows_its_own_epochs(tmp_path, faces, tiny_recipe, capsys):
    run, plan = RunFolder(tmp_path / "run"), plan_training(changed(tiny_recipe, epochs=3), faces)

    class Stops(Recorder):
        def should_stop(self):
            return len(self.epochs) == 2

    train(plan, run, callback=Stops())
    history = train(plan, run, resume=True, callback=TrainProgress()).history
    assert shown(capsys.readouterr().err) == cells(history, 3)[2:]
    train_and_export("head", synthetic_faces(90, seed=2), out=tmp_path / "head")
    assert shown(capsys.readouterr().err) == []


class Terminal(io.StringIO):
    """A terminal that keeps all that is written to it."""

    def isatty(self):
        return True


def test_progress_bar_ends_before_the_export(tmp_path, faces, tiny_recipe, monkeypatch):
    """Two live displays on one line would overwrite each other."""
    for name, value in {"TERM": "xterm", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", Terminal())
    train_and_export(tiny_recipe, faces, out=tmp_path / "run")
    written = sys.stderr.getvalue()
    assert "images/s" in written
    assert "exporting" in written
    assert written.rindex("loss ") < written.index("exporting")
    # Lines are written above the bar as they are elsewhere.
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "\n")
    history = RunFolder(tmp_path / "run").read_history()
    assert shown("\n".join(line.rstrip() for line in plain.splitlines())) == cells(history, 2)


def test_ctrl_c_exits_with_130_and_keeps_the_model(mien, tmp_path, tiny_recipe_text, face_folder, monkeypatch):
    recipe_file = tmp_path / "tiny.toml"
    recipe_file.write_text(tiny_recipe_text)
    monkeypatch.setattr(TrainProgress, "on_epoch_end", lambda *_: signal.raise_signal(signal.SIGINT))
    answer = mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "run")
    assert answer.code == 130
    assert "--resume" in answer.err
    assert (tmp_path / "run" / "model.onnx").is_file()
    monkeypatch.setattr(TrainProgress, "on_step_end", lambda *_: signal.raise_signal(signal.SIGINT))
    assert mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "none").code == 130
    assert not (tmp_path / "none").exists()


def test_notebook_shows_one_growing_table(tmp_path, faces, tiny_recipe, monkeypatch, capsys):
    """Oracle: IPython's own publisher of what a cell displays."""

    @dataclass
    class Kernel:
        kernel: object = True

    shell = InteractiveShell.instance()
    monkeypatch.setattr(shell, "display_pub", CapturingDisplayPublisher())
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", Kernel)
    try:
        train(plan_training(tiny_recipe, faces), RunFolder(tmp_path / "run"), callback=TrainProgress())
        first, second = shell.display_pub.outputs
    finally:
        InteractiveShell.clear_instance()
    assert first["transient"]["display_id"] == second["transient"]["display_id"]
    assert second["update"]
    assert [each["data"]["text/html"].count("<tr") for each in (first, second)] == [2, 3]
    assert (second["data"]["text/html"].count("<svg"), capsys.readouterr().err) == (2, "")
    assert not progress.is_quiet()
