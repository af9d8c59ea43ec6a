"""Oracles: the formula written again in NumPy; cross-entropy where both are the same; runs that are killed."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.base.errors import DataError, RunError
from mien.base.labels import parse_scheme
from mien.base.recipe import Recipe
from mien.base.run_folder import RunFolder
from mien.evaluation.predictions import Predictions, Teacher, write_predictions
from mien.inference.predictor import load
from mien.pipeline.split_predictions import predict_soft_labels
from mien.training.heads import make_outputs
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import prepare, soft_labels, teacher_targets
from support import raises
from training_support import batch, break_off, changed, kept, same, same_weights, trained


def drawn(faces, seed=0, classes=None):
    """Drawn probabilities for the train faces."""
    train_faces = faces.of_split("train")
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(faces.classes)), len(train_faces))
    return Predictions(train_faces.rows, train_faces.labels, shares, faces.classes, "train", faces.fingerprint)


@pytest.fixture
def teacher(tmp_path, faces):
    path = tmp_path / "soft.npz"
    write_predictions(path, drawn(faces), np.float16)
    return Teacher(path, path)


def by_hand(logits, teacher, hard, share, temperature):
    """Hinton et al. 2015, section 2, one row and one class at a time, in float64."""
    total = 0.0
    for row, shares in zip(logits, teacher, strict=True):
        softened = shares ** (1 / temperature) / (shares ** (1 / temperature)).sum()
        own = np.exp(row / temperature) / np.exp(row / temperature).sum()
        total += sum(p * np.log(p / q) for p, q in zip(softened, own, strict=True))
    return share * temperature**2 * total / len(logits) + (1 - share) * hard


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 1.0), (3.0, 0.9), (4.0, 0.3)])
def test_distillation_loss_is_the_papers_formula(faces, tiny_recipe, temperature, share):
    predictions, recipe = drawn(faces), changed(tiny_recipe, distill={"alpha": share, "temperature": temperature})
    head = prepare(plan_training(recipe, faces)).heads[0]
    head.taught = torch.from_numpy(soft_labels([("x", predictions)], faces.of_split("train"), temperature)).float()
    chosen, logits = torch.arange(10, 42), torch.randn(32, 7, generator=torch.Generator().manual_seed(0))
    loss = head.distilled(torch.tensor(0.7), logits, batch(torch.empty(0), chosen))
    expected = by_hand(logits.double().numpy(), predictions.probabilities[10:42], 0.7, share, temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_soft_labels_match_by_row_and_class(faces):
    """The same answers, rows shuffled and classes reversed, of a student that has only every third row."""
    predictions = drawn(faces)
    order = np.random.default_rng(3).permutation(len(predictions))
    turned = replace(
        predictions.subset(order),
        labels=(6 - predictions.labels)[order],
        probabilities=predictions.probabilities[order][:, ::-1],
        classes=predictions.classes[::-1],
    )
    chosen = faces.of_split("train").subset(np.arange(0, len(predictions), 3))
    assert soft_labels([("x", turned)], chosen, 1.0) == pytest.approx(predictions.probabilities[::3], abs=1e-12)
    train_faces = faces.of_split("train")
    first, second = drawn(faces, 0), drawn(faces, 1)
    half = second.subset(np.arange(len(second)) < 50)
    found = soft_labels([("a", first), ("b", half)], train_faces, 2.0)
    roots = [np.sqrt(each.probabilities) for each in (first, second)]
    roots = [each / each.sum(axis=1, keepdims=True) for each in roots]
    assert found[:50] == pytest.approx((roots[0][:50] + roots[1][:50]) / 2, abs=1e-12)
    assert found[50:] == pytest.approx(roots[0][50:], abs=1e-12)
    with raises(DataError, "teacher", f" {len(train_faces) - 50} of {len(train_faces)} "):
        soft_labels([("b", half)], train_faces, 2.0)
    targets = batch(torch.empty(0), torch.tensor([2, 0]), torch.tensor([0, 2]), 0.7).mixed(torch.eye(4))
    assert torch.allclose(targets, torch.tensor([[0.3, 0, 0.7, 0], [0.7, 0, 0.3, 0]]))


def test_soft_labels_refuse_other_data_or_classes(faces):
    train_faces, predictions = faces.of_split("train"), drawn(faces)
    other = replace(predictions, labels=np.roll(predictions.labels, 1))
    with raises(DataError, "teacher") as caught:
        soft_labels([("soft.npz", other)], train_faces, 3.0)
    assert re.search(r"soft\.npz .* \d+%", str(caught.value))
    rest = 0.5 * predictions.probabilities[:, 2:].sum(axis=1, keepdims=True)
    two = {"labels": predictions.labels // 4, "probabilities": predictions.probabilities[:, :2] + rest}
    few = replace(predictions, classes=("a", "b"), **two)
    with raises(DataError, "teacher", "classes a, b;", " angry"):
        soft_labels([("x", few)], train_faces, 3.0)
    # A few rows that were relabelled since are the same faces.
    few = np.arange(len(predictions)) % 20 == 0
    relabelled = replace(predictions, labels=np.where(few, (predictions.labels + 1) % 7, predictions.labels))
    assert len(soft_labels([("x", relabelled)], train_faces, 3.0)) == len(train_faces)


def test_teacher_with_more_classes_follows_the_scheme(tmp_path, faces):
    """Oracle: the sums made by hand, of the rows that are left."""
    predictions, scheme = drawn(faces), "glad=happy+surprise,low=sad+angry"
    path = tmp_path / "all.npz"
    write_predictions(path, predictions)
    few, recipe = faces.of_split("train").with_scheme(parse_scheme(scheme)), Recipe(classes=scheme)
    (targets,) = teacher_targets(recipe, make_outputs(recipe, few), [Teacher(path, path)], few)
    with raises(DataError, "teacher", "model.onnx"):
        teacher_targets(Recipe(), make_outputs(recipe, few), [Teacher(tmp_path / "model.onnx", path)], few)
    order = list(predictions.classes)
    pairs = [[order.index(name) for name in names] for names in (("happy", "surprise"), ("sad", "angry"))]
    kept = np.isin(predictions.labels, np.ravel(pairs))
    sums = np.stack([predictions.probabilities[kept][:, pair].sum(axis=1) for pair in pairs], axis=1)
    roots = (sums / sums.sum(axis=1, keepdims=True)) ** (1 / 3)
    assert targets == pytest.approx(roots / roots.sum(axis=1, keepdims=True), abs=1e-6)


@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.4, "cutmix": 1.0}])
def test_resumed_student_is_bit_identical(tmp_path, faces, tiny_recipe, teacher, mixing):
    recipe = changed(tiny_recipe, epochs=3, batch_size=16, augment=mixing)
    plan, cut = plan_training(recipe, faces), RunFolder(tmp_path / "cut")
    break_off(plan, cut, plan.steps_per_epoch + 1, teachers=[teacher])
    train(plan, cut, teachers=[teacher], resume=True)
    assert same_weights(cut, trained(recipe, faces, tmp_path / "whole", teachers=[teacher]))
    assert not torch.equal(kept(cut)["head.weight"], kept(trained(recipe, faces, tmp_path / "plain"))["head.weight"])


def test_resume_refuses_other_teachers_votes_and_ratings(tmp_path, voted_faces, tiny_recipe, teacher):
    ratings = dict.fromkeys(("valence", "arousal"), np.linspace(-1, 1, len(voted_faces)))
    data = replace(voted_faces, columns=ratings)
    recipe = changed(tiny_recipe, epochs=1, outputs={name: {"target": name} for name in ("label", "votes", "affect")})
    run, other = trained(recipe, data, tmp_path / "run", teachers=[teacher]), tmp_path / "other.npz"
    write_predictions(other, drawn(data, seed=5), np.float16)
    turned = {**ratings, "valence": -ratings["valence"]}
    for what, given, teachers in (
        *(("teachers", data, each) for each in ([], [Teacher(other, other)], [teacher, Teacher(other, other)])),
        ("votes", replace(data, votes=data.votes + 1), [teacher]),
        ("ratings", replace(data, columns=turned), [teacher]),
    ):
        with raises(RunError, "run-other", f"other {what}"):
            train(plan_training(recipe, given), run, teachers=teachers, resume=True)


def test_teacher_targets_match_outputs_by_name(tmp_path, voted_faces, voted_run, tiny_run):
    """Oracle: the exported file's output of votes at temperature 1; a teacher of labels alone has no part in it."""
    recipe = changed(voted_run.read_recipe(), distill={"temperature": 2.0}, augment={"mixup": 0.0})
    teachers = [each.model for each in (tiny_run, voted_run)]
    teachers = predict_soft_labels(teachers, voted_faces, lambda spec: voted_faces, 1)
    state = prepare(plan_training(recipe, voted_faces), teachers=teachers)
    images = np.asarray(voted_faces.of_split("train").images[:8])
    label, votes = (head.taught[:8] for head in state.heads)
    expected = load(voted_run.path, output="perceived")
    assert expected.classes == state.plan.outputs[1].classes
    assert votes.numpy() == pytest.approx(expected.probabilities(images, temperature=1.0), abs=1e-3)
    own = [load(each.path).for_labels().probabilities(images, temperature=1.0) for each in (tiny_run, voted_run)]
    roots = [np.sqrt(each) for each in own]
    mean = np.mean([each / each.sum(axis=1, keepdims=True) for each in roots], axis=0)
    assert label.numpy() == pytest.approx(mean, abs=2e-3)
    merged = plan_training(changed(recipe, classes="binary"), voted_faces)
    some = np.isin(voted_faces.of_split("train").rows, merged.train.rows)
    taught = prepare(merged, teachers=teachers[1:]).heads[1].taught
    everything = load(voted_run.path, output="perceived").probabilities(
        np.asarray(voted_faces.of_split("train").images)[some], temperature=1.0
    )
    assert taught.numpy() == pytest.approx(everything, abs=1e-3), "merged classes leave the votes as they are"
    alone = prepare(plan_training(recipe, voted_faces), teachers=teachers[:1])
    assert alone.heads[1].taught is None, "the data's votes stay alone"


def test_repeated_images_use_their_rows_soft_label(faces, tiny_recipe, teacher):
    state = prepare(plan_training(changed(tiny_recipe, balance={"sampling": "oversample"}), faces), teachers=[teacher])
    train_faces = faces.of_split("train")
    assert len(state.labels) > len(train_faces)
    plain = prepare(plan_training(tiny_recipe, faces), teachers=[teacher]).heads[0].taught
    for place, target in list(enumerate(state.heads[0].taught))[-5:]:
        at = np.flatnonzero((train_faces.images == state.images[place].numpy()).all(axis=(1, 2)))[:1]
        assert torch.equal(target, plain[at[0]])
    plan = plan_training(tiny_recipe, faces)
    assert same(*(prepare(plan, teachers=teachers).network.state_dict() for teachers in ([], [teacher])))
