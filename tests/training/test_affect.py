"""An output that learns ratings, from a recipe to metrics and tables. Oracles: the formula in NumPy, and by hand."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

import mien
from mien.base.errors import DataError, RunError
from mien.base.recipe import check_recipe
from mien.base.run_folder import RunFolder
from mien.evaluation.predictions import read_predictions
from mien.pipeline.training_run import run_recipe
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import prepare
from support import raises
from training_support import batch

OUTPUTS = '\n[outputs.label]\n[outputs.affect]\ntarget = "affect"\n'


def ccc(x, y):
    return 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


@pytest.fixture(scope="module")
def rated(faces):
    """Bright images are pleasant; a third has no rating of arousal, as a CSV with blank cells gives it."""
    valence = np.tanh((np.asarray(faces.images).mean(axis=(1, 2)) - 128) / 20)
    arousal = np.where(np.arange(len(faces)) % 3 == 0, "", np.round(-valence, 3).astype(str))
    return replace(faces, columns={"valence": valence, "arousal": arousal})


@pytest.fixture
def recipe(tiny_recipe_text):
    return check_recipe(tomllib.loads(tiny_recipe_text + OUTPUTS), "rated", ["epochs=3"])


def test_the_loss_is_one_minus_the_concordance_of_rated_images(recipe, rated):
    head = prepare(plan_training(recipe, rated)).heads[1]
    logits = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    x, y = np.tanh(logits.double().numpy()), head.ratings[:9].double().numpy()
    known = ~np.isnan(y)
    assert 0 < known[:, 1].sum() < 9
    expected = 1 - np.mean([ccc(x[known[:, at], at], y[known[:, at], at]) for at in (0, 1)])
    assert head.loss(logits, batch(torch.empty(9)), 0.5).item() == pytest.approx(expected, rel=1e-5)


def test_a_run_learns_ratings_and_tells_them_wherever_derived_ones_stand(tmp_path, recipe, rated):
    result = run_recipe(plan_training(recipe, rated), RunFolder(tmp_path / "run"))
    kept = read_predictions(tmp_path / "run/predictions_validation.npz").rated
    known = ~np.isnan(kept.ratings[:, 1])
    assert result.history[-1]["validation_valence_ccc"] > result.history[0]["validation_valence_ccc"]
    metrics = result.evaluation.metrics
    assert metrics["arousal_ccc"].value == pytest.approx(ccc(kept.values[known, 1], kept.ratings[known, 1]))
    error = np.sqrt(np.mean((kept.values[:, 0] - kept.ratings[:, 0]) ** 2))
    assert metrics["valence_rmse"].low < metrics["valence_rmse"].value == pytest.approx(error)
    model = mien.load(tmp_path / "run")
    validation = rated.of_split("validation")
    one = model.predict_crops(np.asarray(validation.images[:1]))[0]
    assert (one.valence, one.arousal) == pytest.approx(kept.values[0], abs=1e-6)
    assert one.to_dict()["valence"] == one.valence
    assert one.derived_valence is None
    assert one.classes == model.classes == rated.classes


def test_a_run_goes_on_only_with_its_ratings(tmp_path, recipe, rated):
    train(plan_training(recipe, rated), RunFolder(tmp_path / "run"))
    others = replace(rated, columns={**rated.columns, "valence": rated.columns["valence"][::-1]})
    with raises(RunError, "run-other-ratings"):
        train(plan_training(recipe, others), RunFolder(tmp_path / "run"), resume=True)


def test_ratings_that_are_missing_or_out_of_range_are_refused(recipe, rated, faces):
    with raises(DataError, "ratings-missing"):
        plan_training(recipe, faces)
    with raises(DataError, "ratings-range", "arousal"):
        plan_training(recipe, replace(rated, columns={**rated.columns, "arousal": np.full(len(faces), 1.5)}))
