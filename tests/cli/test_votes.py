"""Votes on the command line. Oracle: arrays of the predictions file, counted here; hand-made votes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mien.base.labels import FERPLUS_CLASSES
from mien.data.parquet import write_parquet
from mien.evaluation.metrics import majority, majority_predictions, sample_cross_entropies
from mien.evaluation.predictions import read_predictions
from mien.inference.onnx_classifier import augmented_views
from mien.inference.predictor import load
from mien.pipeline.split_predictions import predict_split, votes_of
from support import refused, write_fer2013


@pytest.fixture(scope="module")
def votes(voted_faces):
    return voted_faces.votes


@pytest.fixture(scope="module")
def folder(tmp_path_factory, voted_faces):
    """``voted.parquet``, the data of ``voted_run``, and the same as ``fer2013.csv`` and ``fer2013new.csv``."""
    root = tmp_path_factory.mktemp("votes")
    write_parquet(voted_faces, root / "voted.parquet")
    write_fer2013(root, voted_faces)
    return root


def test_evaluate_measures_votes(mien, voted_run, folder, tmp_path, votes, faces):
    answer = mien("evaluate", voted_run.path, "--data", folder / "voted.parquet", "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)["votes"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["votes"] == found
    stored = read_predictions(tmp_path / "out" / "predictions_validation.npz").votes
    assert stored.output == "perceived"
    assert np.array_equal(stored.counts, votes[faces.split == "validation"])
    truth = majority(stored.counts, FERPLUS_CLASSES)
    hits = majority_predictions(stored.probabilities, FERPLUS_CLASSES)[truth >= 0] == truth[truth >= 0]
    own, label = found["majority"]
    assert own["output"] == "perceived"
    assert found["with_majority"] == own["evaluation"]["samples"] == (truth >= 0).sum()
    assert own["evaluation"]["headline"]["accuracy"]["value"] == pytest.approx(hits.mean())
    assert label["output"] == "label (baseline)"
    assert [part["value"] for part in own["subsets"]] == [part["value"] for part in label["subsets"]]
    assert own["subsets"][0]["count"] == found["with_majority"]
    distance = sample_cross_entropies(stored.distributions, stored.probabilities).mean()
    assert found["distribution"]["cross_entropy"]["value"] == pytest.approx(distance)
    assert f"{distance:.3f}" in (tmp_path / "out" / "report.html").read_text().partition('id="votes"')[2]


def test_model_file_is_read_in_one_pass(voted_run, faces, voted_faces):
    """Oracle: the label's own probabilities, and the graph's other output, view by view."""
    model = load(voted_run.path, threads=1).for_labels()
    two = predict_split(model, voted_faces, "test", tta=2)
    alone = predict_split(model, faces, "test", tta=2)
    assert two.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
    assert alone.votes is None
    images = np.asarray(voted_faces.of_split("test").images)
    divisor = model.manifest.outputs["perceived"].temperature
    both = [model.output_probabilities(view, {"perceived": divisor}) for view in augmented_views(images, 2)]
    assert two.votes.probabilities == pytest.approx(np.mean(both, axis=0), abs=1e-6)
    assert model.output_probabilities(images[:0], {"fer2013": 1.0, "perceived": 1.0}).shape == (0, 17)


def test_votes_are_put_in_the_order_of_the_output(voted_run, faces, voted_faces, votes):
    model = load(voted_run.path, threads=1)
    few = replace(faces, votes=votes[:, [3, 0]], vote_classes=(FERPLUS_CLASSES[3], FERPLUS_CLASSES[0]))
    found = votes_of(model, few)
    assert (found.classes, found.output) == ((FERPLUS_CLASSES[0], FERPLUS_CLASSES[3]), "perceived")
    assert np.array_equal(found.counts, votes[:, [0, 3]])
    whole, part = (predict_split(model.for_labels(), each, "test").votes.probabilities for each in (voted_faces, few))
    assert part == pytest.approx(whole[:, [0, 3]] / whole[:, [0, 3]].sum(axis=1, keepdims=True))
    turned = replace(faces, votes=votes[:, ::-1], vote_classes=FERPLUS_CLASSES[::-1])
    assert np.array_equal(votes_of(model, turned).counts, votes)


def test_recipe_rejects_an_output_without_a_target(mien, voted_run, folder, face_parquet, tmp_path):
    train = ("train", voted_run.path / "recipe.toml", "--data", face_parquet)
    refused(mien(*train, "--out", tmp_path / "out"), "votes-missing")
    assert not (tmp_path / "out").exists()
