"""Networks with several outputs: what teaches each, how they are kept, resumed, fine-tuned from and exported."""

import hashlib
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from mien.base.errors import DataError, RecipeError
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
from mien.training import checkpoint, loop
from mien.training.batches import Batch
from mien.training.heads import majority_targets, make_outputs, sampled_targets
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import load_init_weights, prepare
from support import raises
from training_support import OUTPUTS, batch, changed, trained


@pytest.fixture
def recipe(tiny_recipe_text):
    return check_recipe(tomllib.loads(tiny_recipe_text + OUTPUTS), "votes")


def test_history_and_evaluation_measure_the_default_output(tmp_path, tiny_recipe_text, voted_faces):
    """Oracle: of two outputs the one of the whole distribution, by its own logits, though the other's name is first."""
    text = '[outputs.fer2013]\n[outputs.a]\ntarget = "majority"\n[outputs.b]\ntarget = "votes"\n'
    recipe = check_recipe(tomllib.loads(tiny_recipe_text + text), "several", ["epochs=1"])
    run = trained(recipe, voted_faces, tmp_path / "run")
    export_run(run).write(run.model)
    model = load(run.path)
    assert (list(model.manifest.outputs), model.output.name) == (["fer2013", "a", "b"], "b")
    found = predict_split(model.for_labels(), voted_faces, "validation").votes
    assert found.output == "b"
    validation = voted_faces.of_split("validation")
    own, other = (model.with_output(name).probabilities(np.asarray(validation.images), 1.0) for name in "ba")
    (line,) = run.read_history()
    shares = found.distributions
    assert line["validation_votes_loss"] == pytest.approx(sample_cross_entropies(shares, own).mean(), rel=1e-3)
    assert line["validation_votes_loss"] != pytest.approx(sample_cross_entropies(shares, other).mean(), rel=1e-3)
    accuracy = majority_accuracy(validation.votes, own, FERPLUS_CLASSES)
    assert line["validation_majority_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    right = (model.for_labels().probabilities(np.asarray(validation.images)).argmax(1) == validation.labels).mean()
    assert line["validation_accuracy"] == pytest.approx(right, abs=1e-6)


def test_outputs_are_sorted_with_label_first(recipe, voted_faces, tiny_recipe, faces):
    assert list(recipe.outputs) == ["fer2013", "perceived"]
    few = voted_faces.with_scheme(parse_scheme("happy=happy,glum=sad+angry"))
    for data, classes in ((voted_faces, voted_faces.classes), (few, ("happy", "glum"))):
        assert [output.classes for output in make_outputs(recipe, data)] == [classes, FERPLUS_CLASSES]
    assert check_recipe(tomllib.loads(dump_recipe(recipe)), "again") == recipe
    (only,) = make_outputs(tiny_recipe, voted_faces)
    assert (only.target, only.weight, only.classes) == ("label", 1.0, faces.classes)
    nothing = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    assert Recipe().digest == nothing, "the digest of a recipe of defaults, before recipes had outputs and after"


@pytest.mark.parametrize(("text", "code", "value"), [
    ('[outputs.perceived]\ntarget = "votes"', "recipe-value", "target = 'label'"),
    ("[outputs.a]\n[outputs.b]", "recipe-value", "target = 'label'"),
    ('[outputs.a]\ntarget = "vote"', "recipe-value", "outputs.a.target = 'vote'"),
    ("[outputs.a]\nweight = 0", "recipe-value", "outputs.a.weight = 0"),
    ("[outputs.a]\nwieght = 1", "recipe-value", "'outputs.a.weight'"),
    ("[outputs.A-b]", "recipe-value", "outputs.A-b"),
])  # fmt: skip
def test_recipe_refuses_impossible_outputs(text, code, value):
    with raises(RecipeError, code, value):
        check_recipe(tomllib.loads(text), "bad")


def test_fine_tuning_matches_rows_by_output_and_class(recipe, voted_faces, tiny_run, voted_run):
    """From one output: its rows are the label output's, the rest stays fresh. From two: each its own, in any order."""
    outputs, trained = make_outputs(recipe, voted_faces), checkpoint.load(tiny_run.best)[0]["head.weight"]
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


def test_keep_last_exports_the_last_epoch(tmp_path, recipe, voted_faces):
    """Its weights are the average that was validated last, though an earlier epoch was better."""
    recipe, run = changed(recipe, epochs=5, stopping={"keep": "last"}, optim={"lr": 0.8}), RunFolder(tmp_path / "run")
    outcome = train(plan_training(recipe, voted_faces), run)
    assert (outcome.best_epoch, checkpoint.load(run.best)[1]["epoch"]) == (5, 5)
    assert best_by_metric(outcome.history, recipe) <= 5
    average = checkpoint.unpack("average", checkpoint.load(run.last)[0])
    assert all(torch.equal(checkpoint.load(run.best)[0][name], value) for name, value in average.items())


def test_model_file_with_two_outputs_equals_torch(voted_run, voted_faces, tmp_path):
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
    path = tmp_path / "model.onnx"
    path.write_bytes(voted_run.model.read_bytes())
    path.write_bytes(attach_manifest(path.read_bytes(), read_manifest(path).model_copy(update={"temperature": 1.7})))
    outputs, before = (read_manifest(each).outputs for each in (path, voted_run.model))
    assert (outputs["fer2013"].temperature, outputs["perceived"].temperature) == (1.7, before["perceived"].temperature)


def test_vote_targets_of_an_epoch(recipe, voted_faces):
    """Oracles: by hand for the majority; the mean of many drawn epochs for sampled votes."""
    shares = np.array([[0.5, 0.5, 0.0], [0.2, 0.1, 0.7]])
    assert majority_targets(shares).tolist() == [[0.5, 0.5, 0], [0, 0, 1]]
    drawn = np.stack([sampled_targets(shares, 0, epoch) for epoch in range(4000)])
    assert (drawn.sum(axis=2) == 1).all()
    assert np.abs(drawn.mean(axis=0) - shares).max() < 0.03
    assert (drawn[:, 0, 2] == 0).all()
    assert np.array_equal(sampled_targets(shares, 3, 5), sampled_targets(shares, 3, 5))
    # By hand: a face with votes has a tenth of them; of a mix with one without, that part is the teachers' alone.
    head = prepare(plan_training(recipe, voted_faces)).heads[1]
    head.targets, head.taught = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    both = torch.arange(2)
    assert torch.allclose(head.blended(batch(torch.zeros(2))), torch.tensor([[0.55, 0.45], [0.25, 0.75]]))
    mixed = head.blended(batch(torch.zeros(2), both, both.flip(0), 0.6))
    # Teachers of the mix: [0.4, 0.6] and [0.35, 0.65]; of the first image 0.9 + 0.1 * 0.4 of them, and 0.1 of its 0.6.
    assert torch.allclose(mixed, torch.tensor([[0.94 * 0.4 + 0.06, 0.94 * 0.6], [0.96 * 0.35 + 0.04, 0.96 * 0.65]]))
    assert torch.allclose(mixed.sum(1), torch.ones(2))


@pytest.mark.parametrize(
    ("target", "taught"),
    [("votes", ()), ("votes", ("label",)), ("votes", ("label", "votes")), ("majority", ("label", "votes"))],
)
def test_step_loss_is_the_weighted_sum_of_outputs(recipe, voted_faces, target, taught):
    """Oracle: torch's cross-entropy and KL divergence on each image and its partner, written out."""
    perceived = recipe.outputs["perceived"].model_copy(update={"target": target})
    distill = recipe.distill.model_copy(update={"temperature": 2.0})
    recipe = recipe.model_copy(update={"outputs": {**recipe.outputs, "perceived": perceived}, "distill": distill})
    state = prepare(plan_training(recipe, voted_faces))
    drawn = torch.randn(len(state.labels), 17, generator=torch.Generator().manual_seed(1))
    answers, predicted = drawn[:, :7].softmax(1), drawn[:, 7:].softmax(1)
    if taught:
        state.heads[0].taught, state.heads[1].taught = answers, predicted if "votes" in taught else None
    chosen, partner, share = torch.arange(6), torch.tensor([5, 4, 3, 2, 1, 0]), 0.3
    inputs = torch.randn(6, 1, 44, 44, generator=torch.Generator().manual_seed(0))
    state.heads[1].begin_epoch(1)
    votes = state.heads[1].targets
    state.network.eval()
    label_logits, loss = loop.forward_loss(state, Batch(inputs, chosen, partner, share, 0))
    logits = state.network(inputs).float()
    assert torch.allclose(label_logits, logits[:, :7])
    expected = torch.zeros(())
    for own, other, each in zip(chosen, partner, logits, strict=True):
        hard = share * functional.cross_entropy(each[:7], state.labels[own], label_smoothing=0.1)
        hard = hard + (1 - share) * functional.cross_entropy(each[:7], state.labels[other], label_smoothing=0.1)
        if taught:
            soft = share * answers[own] + (1 - share) * answers[other]
            hard = 0.9 * 4 * (soft * (soft.log() - (each[:7] / 2).log_softmax(0))).sum() + 0.1 * hard
        mixed = share * votes[own] + (1 - share) * votes[other]
        if "votes" in taught:
            mixed = 0.1 * mixed + 0.9 * (share * predicted[own] + (1 - share) * predicted[other])
        expected = expected + 2.0 * hard - 0.5 * (mixed * each[7:].log_softmax(0)).sum()
    assert loss.item() == pytest.approx(expected.item() / 6, rel=1e-4)


@pytest.mark.parametrize("target", ["votes", "sampled", "majority"])
def test_images_without_votes_have_only_label_loss(tmp_path, recipe, voted_faces, target):
    """Oracle: the loss of the same batch by the label's output alone; then a run of such data goes through."""
    asked = np.arange(len(voted_faces)) % 2 == 0
    some = replace(voted_faces, votes=np.where(asked[:, None], voted_faces.votes, 0), vote_classes=FERPLUS_CLASSES)
    recipe = changed(recipe, outputs={"perceived": {"target": target, "weight": 0.5}}, epochs=1)
    state = prepare(plan_training(recipe, some))
    state.heads[1].begin_epoch(1)
    votes, known = state.heads[1].targets, torch.from_numpy(state.plan.balanced_train.votes.any(axis=1))
    assert torch.equal(votes.sum(1) > 0.5, known)
    assert votes[~known].abs().sum() == 0
    chosen = torch.nonzero(~known).ravel()[:6]
    inputs = torch.randn(6, 1, 44, 44, generator=torch.Generator().manual_seed(0))
    state.network.eval()
    logits, loss = loop.forward_loss(state, Batch(inputs, chosen, None, 1.0, 0))
    label = functional.cross_entropy(logits, state.labels[chosen], label_smoothing=0.1)
    assert loss.item() == pytest.approx(2 * label.item(), rel=1e-5)
    run = trained(recipe, some, tmp_path / "run")
    (line,) = run.read_history()
    network, _ = checkpoint.load_best(run)
    validation = some.of_split("validation")
    validation = validation.subset(validation.votes.any(axis=1))
    with torch.inference_mode():
        logits = network(torch.from_numpy(to_input(np.asarray(validation.images), recipe.input)))[:, 7:]
    shares = validation.votes / validation.votes.sum(axis=1, keepdims=True)
    expected = -(shares * logits.double().log_softmax(1).numpy()).sum(axis=1).mean()
    assert line["validation_votes_loss"] == pytest.approx(expected, rel=1e-4)
    never = replace(some, votes=np.where((some.split == "train")[:, None], some.votes, 0), vote_classes=FERPLUS_CLASSES)
    with raises(DataError, "votes", "validation"):
        plan_training(recipe, never)
