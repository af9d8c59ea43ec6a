"""Networks with several outputs: what teaches each, how they are kept, resumed, fine-tuned from and exported."""

import hashlib
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.base.errors import RecipeError, RunError
from mien.base.labels import FERPLUS_CLASSES, parse_scheme
from mien.base.model_file import attach_manifest, open_model, read_manifest
from mien.base.preprocess import to_input
from mien.base.recipe import Recipe, check_recipe, dump_recipe
from mien.base.run_folder import RunFolder, best_by_metric
from mien.evaluation.metrics import majority_accuracy, sample_cross_entropies
from mien.exporting.to_onnx import export_run
from mien.inference.predictor import load
from mien.models.registry import build_model
from mien.pipeline.split_predictions import predict_split
from mien.training import checkpoint
from mien.training.heads import make_outputs, output_facts
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import load_init_weights
from support import raises
from training_support import OUTPUTS, changed


@pytest.fixture
def recipe(tiny_recipe_text):
    return check_recipe(tomllib.loads(tiny_recipe_text + OUTPUTS), "votes")


def test_history_and_evaluation_measure_the_default_output(tmp_path, tiny_recipe_text, voted_faces):
    """Oracle: of two outputs the one of the whole distribution, by its own logits, though the other's name is first."""
    text = '[outputs.fer2013]\n[outputs.a]\ntarget = "majority"\n[outputs.b]\ntarget = "votes"\n'
    recipe = check_recipe(tomllib.loads(tiny_recipe_text + text), "several", ["epochs=1"])
    run = RunFolder(tmp_path / "run")
    train(plan_training(recipe, voted_faces), run)
    export_run(run).write(run.model)
    model = load(run.path)
    assert list(model.manifest.outputs) == ["fer2013", "a", "b"]
    assert model.output.name == "b"
    found = predict_split(model.for_labels(), voted_faces, "validation").votes
    assert found.output == "b"
    own = model.with_output("b").probabilities(np.asarray(voted_faces.of_split("validation").images), 1.0)
    other = model.with_output("a").probabilities(np.asarray(voted_faces.of_split("validation").images), 1.0)
    (line,) = run.read_history()
    shares = found.distributions
    assert line["validation_votes_loss"] == pytest.approx(sample_cross_entropies(shares, own).mean(), rel=1e-3)
    assert line["validation_votes_loss"] != pytest.approx(sample_cross_entropies(shares, other).mean(), rel=1e-3)


def test_outputs_are_sorted_with_label_first(recipe, voted_faces):
    assert list(recipe.outputs) == ["fer2013", "perceived"]
    outputs = make_outputs(recipe, voted_faces)
    assert [output.classes for output in outputs] == [voted_faces.classes, FERPLUS_CLASSES]
    assert check_recipe(tomllib.loads(dump_recipe(recipe)), "again") == recipe


def test_recipe_without_outputs_has_one_output(tiny_recipe, voted_faces, faces):
    (only,) = make_outputs(tiny_recipe, voted_faces)
    assert (only.target, only.weight, only.classes) == ("label", 1.0, faces.classes)
    assert output_facts(tiny_recipe, (only,), voted_faces) == {}
    nothing = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    assert Recipe().digest == nothing, "the digest of a recipe of defaults, before recipes had outputs and after"


@pytest.mark.parametrize(
    ("text", "code", "value"),
    [
        ('[outputs.perceived]\ntarget = "votes"', "recipe-value", "target = 'label'"),
        ("[outputs.a]\n[outputs.b]", "recipe-value", "target = 'label'"),
        ('[outputs.a]\ntarget = "vote"', "recipe-value", "outputs.a.target = 'vote'"),
        ("[outputs.a]\nweight = 0", "recipe-value", "outputs.a.weight = 0"),
        ("[outputs.a]\nwieght = 1", "recipe-unknown-key", "'outputs.a.weight'"),
        ("[outputs.A-b]", "recipe-value", "outputs.A-b"),
    ],
)
def test_recipe_refuses_impossible_outputs(text, code, value):
    with raises(RecipeError, code, value):
        check_recipe(tomllib.loads(text), "bad")


def test_history_has_votes_columns(voted_run, voted_faces):
    """Oracle: the kept network asked again, its softmax over the last ten logits."""
    kept = voted_run.read_history()[checkpoint.load(voted_run.best)[1]["epoch"] - 1]
    network, _ = checkpoint.load_best(voted_run)
    validation = voted_faces.of_split("validation")
    with torch.inference_mode():
        logits = network(torch.from_numpy(to_input(np.asarray(validation.images), voted_run.read_recipe().input)))
    shares = validation.votes / validation.votes.sum(axis=1, keepdims=True)
    probabilities = logits[:, 7:].double().softmax(1).numpy()
    loss = sample_cross_entropies(shares, probabilities).mean()
    assert kept["validation_votes_loss"] == pytest.approx(loss, rel=1e-4)
    accuracy = majority_accuracy(validation.votes, probabilities, FERPLUS_CLASSES)
    assert kept["validation_majority_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    right = (logits[:, :7].argmax(1).numpy() == validation.labels).mean()
    assert kept["validation_accuracy"] == pytest.approx(right, abs=1e-6)


def test_resume_refuses_other_votes(tmp_path, recipe, voted_faces):
    run = RunFolder(tmp_path / "run")
    train(plan_training(changed(recipe, epochs=1), voted_faces), run)
    other = replace(voted_faces, votes=voted_faces.votes + 1)
    with raises(RunError, "run-other-votes"):
        train(plan_training(changed(recipe, epochs=1), other), run, resume=True)


def test_fine_tuning_matches_rows_by_output_and_class(recipe, voted_faces, tiny_run, voted_run):
    """From one output: its rows are the label output's, the rest stays fresh. From two: each its own, in any order."""
    outputs = make_outputs(recipe, voted_faces)
    trained = checkpoint.load(tiny_run.best)[0]["head.weight"]
    network = build_model(recipe.model, 17, 44)
    fresh = network.head.weight.clone()
    load_init_weights(network, outputs, tiny_run)
    assert torch.equal(network.head.weight[:7], trained)
    assert torch.equal(network.head.weight[7:], fresh[7:])
    both = checkpoint.load(voted_run.best)[0]["head.weight"]
    load_init_weights(network, (outputs[0], replace(outputs[1], classes=outputs[1].classes[::-1])), voted_run)
    assert torch.equal(network.head.weight, torch.cat([both[:7], both[7:].flip(0)]))
    other = (outputs[0], replace(outputs[1], name="other"))
    network = build_model(recipe.model, 17, 44)
    fresh = network.head.weight.clone()
    load_init_weights(network, other, voted_run)
    assert torch.equal(network.head.weight[7:], fresh[7:])


def test_label_scheme_merges_the_label_output_only(recipe, voted_faces):
    few = voted_faces.with_scheme(parse_scheme("happy=happy,glum=sad+angry"))
    assert [output.classes for output in make_outputs(recipe, few)] == [("happy", "glum"), FERPLUS_CLASSES]


def test_keep_last_exports_the_last_epoch(tmp_path, recipe, voted_faces):
    """Its weights are the average that was validated last, though an earlier epoch was better."""
    recipe = changed(recipe, epochs=5, stopping={"keep": "last"}, optim={"lr": 0.8})
    run = RunFolder(tmp_path / "run")
    outcome = train(plan_training(recipe, voted_faces), run)
    assert outcome.best_epoch == 5
    assert checkpoint.load(run.best)[1]["epoch"] == 5
    assert best_by_metric(outcome.history, recipe) <= 5
    average = checkpoint.unpack("average", checkpoint.load(run.last)[0])
    kept = checkpoint.load(run.best)[0]
    assert all(torch.equal(kept[name], value) for name, value in average.items())


def test_model_file_with_two_outputs_equals_torch(voted_run, voted_faces):
    session, manifest = open_model(voted_run.model)
    assert list(manifest.outputs) == ["fer2013", "perceived"]
    assert manifest.outputs["perceived"].classes == FERPLUS_CLASSES
    images = to_input(np.asarray(voted_faces.images[:16]), manifest.input)
    logits, perceived = session.run(["logits", "logits_perceived"], {"images": images})
    network, _ = checkpoint.load_best(voted_run)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    assert np.allclose(logits, expected[:, :7], atol=1e-4)
    assert np.allclose(perceived, expected[:, 7:], atol=1e-4)
    only_label = checkpoint.load_network(voted_run)
    with torch.inference_mode():
        assert np.allclose(only_label(torch.from_numpy(images)).numpy(), expected[:, :7], atol=1e-6)


def test_manifest_temperature_belongs_to_the_first_output(voted_run, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(voted_run.model.read_bytes())
    path.write_bytes(attach_manifest(path.read_bytes(), read_manifest(path).model_copy(update={"temperature": 1.7})))
    outputs, before = (read_manifest(each).outputs for each in (path, voted_run.model))
    assert outputs["fer2013"].temperature == 1.7
    assert outputs["perceived"].temperature == before["perceived"].temperature
