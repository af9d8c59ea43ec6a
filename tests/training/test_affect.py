"""An output that learns ratings, from a recipe to metrics and tables. Oracles: the formula in NumPy, and by hand."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

import mien
from mien.base.errors import DataError
from mien.base.model_file import open_model
from mien.base.recipe import check_recipe
from mien.base.run_folder import RunFolder
from mien.data.votes import read_ratings
from mien.evaluation.predictions import read_predictions
from mien.exporting.to_onnx import measure_parity
from mien.pipeline import training_run
from mien.pipeline.split_predictions import predict_split
from mien.pipeline.training_run import run_recipe
from mien.runs.folds import make_folds, measure_folds, predict_folds
from mien.training import checkpoint
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


@pytest.fixture(scope="module")
def rated_run(tmp_path_factory, tiny_recipe_text, rated):
    run = RunFolder(tmp_path_factory.mktemp("rated") / "run")
    run_recipe(plan_training(check_recipe(tomllib.loads(tiny_recipe_text + OUTPUTS), "rated", []), rated), run)
    return run


@pytest.fixture
def recipe(tiny_recipe_text):
    return check_recipe(tomllib.loads(tiny_recipe_text + OUTPUTS), "rated", ["epochs=3"])


def test_ratings_loss_is_one_minus_ccc_of_rated_images(recipe, rated, tmp_path, monkeypatch):
    head = prepare(plan_training(recipe, rated)).heads[1]
    logits = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    x, y = np.tanh(logits.double().numpy()), head.ratings[:9].double().numpy()
    known = ~np.isnan(y)
    assert 0 < known[:, 1].sum() < 9
    expected = 1 - np.mean([ccc(x[known[:, at], at], y[known[:, at], at]) for at in (0, 1)])
    assert head.loss(logits, batch(torch.empty(9)), 0.5).item() == pytest.approx(expected, rel=1e-5)
    # Oracle: the losses themselves, of equal logits.
    plan, told = plan_training(recipe.model_copy(update={"epochs": 1}), rated), []
    heads, nine = prepare(plan).heads, batch(torch.empty(9))
    losses = [head.loss(torch.zeros(9, len(head.output.classes)), nine, 0.5).item() for head in heads]
    monkeypatch.setattr(training_run, "check_history", lambda *given: told.append(given[3]) or ())
    run_recipe(plan, RunFolder(tmp_path / "run"))
    assert told == [pytest.approx(sum(losses), rel=1e-5)]


def test_run_learns_ratings_and_predicts_them_everywhere(tmp_path, recipe, rated):
    result = run_recipe(plan_training(recipe, rated), RunFolder(tmp_path / "run"))
    kept = read_predictions(tmp_path / "run/predictions_validation.npz").rated
    known = ~np.isnan(kept.ratings[:, 1])
    assert result.history[-1]["validation_valence_ccc"] > result.history[0]["validation_valence_ccc"]
    metrics = result.evaluation.metrics
    assert metrics["arousal_ccc"].value == pytest.approx(ccc(kept.values[known, 1], kept.ratings[known, 1]))
    error = np.sqrt(np.mean((kept.values[:, 0] - kept.ratings[:, 0]) ** 2))
    assert metrics["valence_rmse"].low < metrics["valence_rmse"].value == pytest.approx(error)
    model = mien.load(tmp_path / "run")
    one = model.predict_crops(np.asarray(rated.of_split("validation").images[:1]))[0]
    assert (one.valence, one.arousal) == pytest.approx(kept.values[0], abs=1e-6)
    assert one.to_dict()["valence"] == one.valence
    assert one.derived_valence is None
    assert one.classes == model.classes == rated.classes
    assert one != replace(one, further={**one.further, "valence": 0.5})


@pytest.mark.parametrize("form", ["fp16", "int8"])
def test_quantized_model_is_compared_in_ratings(tmp_path, rated_run, rated, form):
    out = mien.export(rated_run.path, tmp_path / "small.onnx", precision=form, data=rated)
    rows = [mien.load(file).rows(np.asarray(rated.of_split("validation").images)) for file in (rated_run.model, out)]
    # The columns of the label have a temperature.
    assert out.largest_difference >= np.abs(rows[0] - rows[1])[:, -2:].max() > 0
    assert out.agreement > 0.9


def test_parity_compares_ratings_without_softmax(rated_run):
    """A softmax does not change if the same is added to both logits."""
    network, _ = checkpoint.load_best(rated_run)
    opened = open_model(rated_run.model)
    assert measure_parity(network, *opened).largest_difference < 1e-5
    with torch.no_grad():
        network.head.bias[-2:] += 0.5
    assert measure_parity(network, *opened).largest_difference > 0.1


def test_folds_keep_ratings(tmp_path, recipe, rated):
    folds = make_folds(rated, np.arange(len(rated)), 2)
    found = predict_folds(recipe.model_copy(update={"epochs": 1}), folds, tmp_path, notify=lambda words: None)
    assert found.rated.ratings[:, 0] == pytest.approx(rated.columns["valence"][rated.places(found.sample_ids)])
    expected = ccc(found.rated.values[:, 0], found.rated.ratings[:, 0])
    assert measure_folds(found, folds).headline["valence_ccc"].value == pytest.approx(expected)


@pytest.mark.parametrize("cells", [["-1", "", "1"], ["-1.0", " ", " 1"], ["-1", "None", "1"], [-1.0, np.nan, 1.0]])
def test_blank_cells_give_no_rating(rated, cells):
    found = read_ratings(replace(rated.subset(np.arange(3)), columns={"valence": np.array(cells)}), ("valence",))
    assert np.array_equal(found[:, 0], [-1, np.nan, 1], equal_nan=True)


def test_training_refuses_missing_or_impossible_ratings(recipe, rated, faces, rated_run, voted_run):
    in_train = np.where(rated.split == "train", rated.columns["arousal"], "")
    with raises(DataError, "ratings-missing", "The validation split", "columns", "arousal."):
        plan_training(recipe, replace(rated, columns={**rated.columns, "arousal": in_train}))
    with raises(DataError, "ratings-range", "found high of", str(rated.source[0])):
        read_ratings(replace(rated, columns={**rated.columns, "arousal": np.full(len(faces), "high")}), ("arousal",))
    with raises(DataError, "ratings-missing"):
        plan_training(recipe, faces)
    with raises(DataError, "ratings-range", "arousal"):
        plan_training(recipe, replace(rated, columns={**rated.columns, "arousal": np.full(len(faces), 1.5)}))
    from_1_to_9 = replace(rated, columns={"valence": np.full(len(rated), 5), "arousal": np.full(len(rated), 9)})
    assert predict_split(mien.load(voted_run.path).for_labels(), from_1_to_9, "test").rated is None
    with raises(DataError, "ratings-range"):
        predict_split(mien.load(rated_run.path), from_1_to_9, "test")
