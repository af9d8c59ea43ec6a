"""A linear head on frozen features. Oracles: scikit-learn's, and the weights of the run it starts from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_score

from mien.base.errors import RecipeError, TrainingError
from mien.base.recipe import load_recipe, tuned
from mien.base.recipe_tables import AugmentRecipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.splits import deal_groups, split_groups
from mien.training import checkpoint, head
from mien.training.plan import plan_training
from mien.training.state import prepare
from support import raises


@pytest.fixture
def tones(faces):
    """Dark, middle and bright faces: any features tell them apart. Each image is there twice."""
    tone = np.arange(60) % 3
    images = (np.asarray(faces.images[:60]) // 3 + (tone * 80).astype(np.uint8)[:, None, None]).astype(np.uint8)
    return Dataset.from_arrays(np.repeat(images, 2, axis=0), np.repeat(tone, 2), ("dark", "middle", "bright"))


@pytest.fixture
def recipe(tiny_run):
    return tuned(load_recipe("head"), tiny_run.read_recipe())


def test_fit_equals_scikit_learn(recipe, tones, tiny_run):
    """Its C is 1 / (N penalty): it sums the losses that are averaged here."""
    state = prepare(plan_training(recipe, tones), tiny_run, device="cpu")
    plain, mirrored = head._features(state)
    assert not torch.equal(plain, mirrored)
    unflipped = recipe.model_copy(update={"augment": AugmentRecipe()})
    (only,) = head._features(prepare(plan_training(unflipped, tones), tiny_run, device="cpu"))
    assert torch.equal(only, plain)
    plain, labels = (plain - plain.mean(0)) / plain.std(0), state.labels
    for penalty in (0.1, 0.001):
        ours = head._fit(state, plain[None], labels, penalty)
        theirs = LogisticRegression(C=1 / (penalty * len(labels)), tol=1e-8, max_iter=5000)
        theirs.fit(plain.numpy(), labels.numpy())
        expected = theirs.predict_proba(plain.numpy())
        assert (plain @ ours[0].T + ours[1]).softmax(1).numpy() == pytest.approx(expected, abs=2e-3)
    # With weights N / (K n_c) all classes count alike: oracle, scikit-learn's ``class_weight="balanced"``.
    recipe = recipe.model_copy(update={"class_weights": "balanced"})
    uneven = tones.subset(np.flatnonzero((tones.labels != 2) | (np.arange(120) < 60)))
    state = prepare(plan_training(recipe, replace(uneven, columns={"group": uneven.labels}, group_column="group")))
    features = torch.randn(len(state.labels), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight, bias = head._fit(state, features[None], state.labels, 0.01)
    theirs = LogisticRegression(C=1 / (0.01 * len(state.labels)), class_weight="balanced", tol=1e-8, max_iter=5000)
    expected = theirs.fit(features.numpy(), state.labels.numpy()).predict_proba(features.numpy())
    assert (features @ weight.T + bias).softmax(1).numpy() == pytest.approx(expected, abs=2e-3)
    assert head._choose_penalty(state, features[None]) == head.PENALTIES[0]
    assert state.cross_validation is None


def test_penalty_has_the_lowest_cross_validated_loss(recipe, tones, tiny_run):
    """Oracle: scikit-learn's fits and log loss on the same folds."""
    alone = replace(tones, columns={"group": np.arange(len(tones))}, group_column="group")
    state = prepare(plan_training(recipe, alone), tiny_run)
    labels = state.labels.numpy()
    features = np.random.default_rng(0).normal(size=(len(labels), 20)) + 2 * np.eye(20)[labels]
    groups = split_groups(alone.of_split("train").images, None)  # each image is there twice
    folds, kept = PredefinedSplit(deal_groups(groups, labels, head.FOLDS)), len(labels) * (head.FOLDS - 1) // head.FOLDS
    models = [LogisticRegression(C=1 / (penalty * kept), tol=1e-8, max_iter=5000) for penalty in head.PENALTIES]
    scores = [cross_val_score(each, features, labels, cv=folds, scoring="neg_log_loss").mean() for each in models]
    best = int(np.argmax(scores))
    assert 0 < best < len(models) - 1, "not at an end of the list"
    chosen = head._choose_penalty(state, torch.from_numpy(features)[None])
    assert chosen == head.PENALTIES[best] == state.cross_validation["penalty"]


def test_cross_validation_deals_near_copies_into_one_fold(recipe, faces, tiny_run):
    """Oracle: labels drawn by chance cannot be predicted; with shifted copies in other folds all of them could."""
    shifted = [np.roll(face, by, axis=1) for face in np.asarray(faces.images[:60]) for by in range(4)]
    labels = np.random.default_rng(0).integers(0, 2, 60).repeat(4)
    data = Dataset.from_arrays(np.stack(shifted), labels, ("a", "b"), split=["train"] * 200 + ["validation"] * 40)
    state, of_image = prepare(plan_training(recipe, data), tiny_run), torch.from_numpy(np.arange(60).repeat(4)[:200])
    features = torch.nn.functional.one_hot(of_image).double() + 0.01 * torch.randn(200, 50, dtype=torch.float64)
    head._choose_penalty(state, features[None])
    assert state.cross_validation["accuracy"] < 0.7


def test_head_rejects_own_augmentation_and_find_lr(tones, tiny_run):
    from mien import find_lr, train

    with raises(RecipeError, "fit-head"):
        train("head", tones, init_from=tiny_run.path, augment=lambda images: images, verbose=0)
    with raises(TrainingError, "fit-head"):
        find_lr("head", tones, init_from=tiny_run.path)
    from mien.api.train import find_job

    job = find_job("head", ["seed=3"], None)
    assert job.init_from is not None
    assert (job.init_from.path.name, job.recipe.model) == ("default", job.init_from.read_recipe().model)
    with raises(RecipeError, "recipe-value", "epochs = 1"):
        find_job("head", ["epochs=2"], None)


def test_train_head_changes_only_the_last_layer(tmp_path, tones, tiny_run):
    from mien import load, train

    run = RunFolder(tmp_path / "run")
    result = train("head", tones, init_from=tiny_run.path, out=run.path, verbose=0)
    ours, theirs = (checkpoint.load(each.best)[0] for each in (run, tiny_run))
    assert {name for name in theirs if not torch.equal(ours[name], theirs[name])} == {"head.bias", "head.weight"}
    validated = run.read_environment()["cross_validation"]
    assert validated["accuracy"] > 0.9
    assert (validated["images"], validated["folds"]) == (int((tones.split == "train").sum()), 5)
    assert result.evaluation.accuracy.value > 0.8  # of 18 images; a third by chance
    assert f"{validated['accuracy']:.1%}" in str(result)
    model = load(run.path)
    assert (model.classes, model.manifest.mirrored) == (("dark", "middle", "bright"), True)
    before = run.best.read_bytes()
    train("head", tones, init_from=tiny_run.path, out=run.path, resume=True, verbose=0)
    assert run.best.read_bytes() == before, "another run may have started from these weights"
