import json
import shutil

import numpy as np
import pytest

from mien import export
from mien.artifact import read_manifest
from mien.errors import DataError, RunError
from mien.evaluation.scores import read_scores
from mien.experiments.run import finish_run, run_recipe
from mien.run_folder import RunFolder
from mien.training import checkpoint


def test_a_run_folder_holds_all_that_it_promises(tiny_run):
    names = {file.name for file in tiny_run.path.iterdir()}
    assert names == {
        "recipe.toml",
        "environment.json",
        "history.csv",
        "last.safetensors",
        "best.safetensors",
        "model.onnx",
        "scores_validation.npz",
        "metrics.json",
        "report.html",
    }


@pytest.mark.parametrize("moment", ["in training", "while it is exported"])
def test_a_run_is_one_commands_at_a_time(tmp_path, faces, tiny_recipe, monkeypatch, moment):
    """Oracle: who comes second is refused, takes nothing away, and may go on after the first."""
    run, tried = RunFolder(tmp_path / "run"), []
    half_written = run.path / ".model.onnx.0.part"

    def come_second():
        half_written.touch()
        with pytest.raises(RunError, match=r"run is being trained by another command\. Wait"):
            run_recipe(tiny_recipe, faces, run, resume=True)
        assert half_written.exists()
        tried.append(moment)

    class Watch:
        def step(self, epoch, images, loss): ...

        def epoch(self, line, is_best):
            if moment == "in training" and not tried:
                come_second()

    measure = export.measure_parity

    def measured(*arguments):
        if moment == "while it is exported" and not tried:
            come_second()
        return measure(*arguments)

    monkeypatch.setattr(export, "measure_parity", measured)
    assert run_recipe(tiny_recipe, faces, run, watch=Watch()).outcome.reason == "all epochs done"
    assert tried == [moment]
    assert run_recipe(tiny_recipe, faces, run, resume=True).outcome.reason == "all epochs done"
    assert not half_written.exists()
    assert not (run.path / ".mien.lock").exists()


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path, faces, tiny_recipe):
    with pytest.raises(DataError):
        run_recipe(tiny_recipe, faces.of_split("validation"), RunFolder(tmp_path / "a" / "b"))
    assert not list(tmp_path.iterdir())


def test_the_manifest_carries_what_was_measured(tiny_run):
    measured = json.loads((tiny_run.path / "metrics.json").read_text())["headline"]
    scores = read_manifest(tiny_run.model).scores
    assert scores == {f"validation_{name}": figure["value"] for name, figure in measured.items()}


def test_the_artifact_scores_as_training_saw_it(tiny_run):
    """The history's best epoch, measured by torch, and the exported file agree on validation."""
    history = tiny_run.read_history()
    best = history[read_manifest(tiny_run.model).epoch - 1]
    scores = read_manifest(tiny_run.model).scores
    for name in ("validation_accuracy", "validation_macro_f1", "validation_macro_auc"):
        assert scores[name] == pytest.approx(best[name]), name
    assert best["validation_macro_f1"] != pytest.approx(best["validation_macro_auc"])
    assert scores["validation_log_loss"] == pytest.approx(best["validation_loss"], abs=1e-5)


def test_scores_are_of_the_validation_split_alone(tiny_run, faces):
    scores = read_scores(tiny_run.scores("validation"))
    assert scores.rows.tolist() == faces.of_split("validation").rows.tolist()


def test_the_temperature_of_validation_is_in_the_artifact_and_not_in_its_scores(tiny_run, faces):
    from mien.evaluation.temperature import apply_temperature, fit_temperature
    from mien.inference.classifier import Classifier

    scores = read_scores(tiny_run.scores("validation"))
    model = Classifier(tiny_run.model)
    temperature = fit_temperature(scores.labels, scores.probabilities)
    assert model.manifest.temperature == temperature != 1
    images = faces.of_split("validation").images
    assert np.allclose(model.probabilities(images, 1.0), scores.probabilities, atol=1e-12)
    assert np.allclose(model.probabilities(images), apply_temperature(scores.probabilities, temperature), atol=1e-12)


def test_a_perfect_validation_stores_no_temperature():
    from mien.evaluation.scores import Scores
    from mien.experiments.measure import temperature_for_use

    probabilities = np.array([[0.8, 0.2], [0.3, 0.7]])
    assert temperature_for_use(Scores(np.arange(2), np.arange(2), probabilities, ("a", "b"), "validation", "")) == 1.0


def test_figures_that_are_undefined_do_not_spoil_the_artifact(tmp_path, faces, tiny_recipe):
    """Validation holds one class of two: its AUC is undefined, the model is fine."""
    from mien.data.faceset import FaceSet
    from mien.experiments.run import run_recipe
    from mien.inference.classifier import load
    from mien.run_folder import RunFolder

    labels = np.where(faces.split == "validation", 0, np.arange(len(faces)) % 2)
    lame = FaceSet(faces.images, labels, ("a", "b"), faces.split, faces.source, faces.rows)
    run = RunFolder(tmp_path / "run")
    run_recipe(tiny_recipe, lame, run)
    scores = load(run.path).manifest.scores
    assert "validation_accuracy" in scores
    assert "validation_macro_auc" not in scores


def test_a_finished_run_is_measured_again_and_not_trained(tiny_run, tiny_recipe, faces, tmp_path):
    """Oracle: the files of the first time."""
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    result = run_recipe(tiny_recipe, faces, run, resume=True)
    first = read_scores(tiny_run.scores("validation"))
    assert result.run == run
    assert np.array_equal(result.scores.probabilities, first.probabilities)
    kept = json.loads((tiny_run.path / "metrics.json").read_text())
    kept.pop("subsets")
    assert result.evaluation.to_dict() == kept
    assert (run.path / "history.csv").read_bytes() == (tiny_run.path / "history.csv").read_bytes()


def test_what_was_made_of_a_model_goes_with_it(tiny_run, tiny_recipe, faces, tmp_path):
    """Measured again, a model keeps its smaller forms and soft labels; other weights in its place take them away."""
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    derived = [run.model_int8, run.model_half, run.scores("train"), run.path / "robustness.json"]
    for file in derived:
        file.write_bytes(b"of the model as it was")
    assert run_recipe(tiny_recipe, faces, run, resume=True).removed == ()
    assert all(file.is_file() for file in derived)
    tensors, facts = checkpoint.load(run.best)
    checkpoint.save(run.best, tensors, {**facts, "epoch": facts["epoch"] + 1})
    finish = finish_run(run, faces, {})
    assert set(finish.removed) == {file.name for file in derived}
    assert not any(file.exists() for file in derived)
    assert run.model.is_file()


def test_a_damaged_model_is_exported_again(tiny_run, tiny_recipe, faces, tmp_path):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    run.model.write_bytes(b"cut off")
    run_recipe(tiny_recipe, faces, run, resume=True)
    assert read_manifest(run.model).scores == read_manifest(tiny_run.model).scores
