"""Oracles: the mean made by hand; torch's own update of running statistics."""

import json

import numpy as np
import pytest
import torch

from mien.artifact import read_manifest
from mien.data.parquet import write_parquet
from mien.errors import RunError
from mien.preprocess import to_input
from mien.recipe import ModelRecipe
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.soup import began_apart, digests_of, make_soup
from support import raises, refused


@pytest.fixture(scope="module")
def pair(tmp_path_factory, faces, tiny_run):
    """Two runs that went on from the same one with other seeds."""
    recipe = tiny_run.read_recipe()
    runs = []
    for seed in (1, 2):
        run = RunFolder(tmp_path_factory.mktemp("pair") / str(seed))
        train(plan_training(recipe.model_copy(update={"seed": seed, "epochs": 1}), faces), run, init_from=tiny_run)
        runs.append(run)
    return runs


def test_weights_are_the_mean_and_statistics_are_of_the_train_faces(tmp_path, faces, pair):
    """Oracle: torch.optim.swa_utils.update_bn, with batches of the same faces."""
    out = RunFolder(tmp_path / "soup")
    make_soup(pair, faces, out, {})
    mixed = checkpoint.load(out.best)[0]
    first, second = (checkpoint.load(run.best)[0] for run in pair)
    for name, value in mixed.items():
        if "running" not in name and value.is_floating_point():
            assert torch.allclose(value, (first[name] + second[name]) / 2), name
    network, _ = checkpoint.load_best(out)
    train_faces = faces.of_split("train")
    order = np.random.default_rng(0).permutation(len(train_faces))
    inputs = torch.from_numpy(to_input(np.asarray(train_faces.images)[order], out.read_recipe().input))
    torch.optim.swa_utils.update_bn(inputs.tensor_split(-(-len(inputs) // 256)), network.eval())
    for name, value in network.state_dict().items():
        if "running" in name:
            assert torch.allclose(value, mixed[name], atol=1e-5), name
    assert not torch.allclose(mixed["stem.1.running_mean"], first["stem.1.running_mean"], atol=1e-5)


def test_a_run_and_what_went_on_from_it_began_together(tmp_path, faces, pair):
    """Also where that run had begun with another one's weights itself, which is not among them."""
    recipe, after = pair[0].read_recipe(), RunFolder(tmp_path / "after")
    train(plan_training(recipe, faces), after, init_from=pair[0])
    mean, of_mean = RunFolder(tmp_path / "mean"), RunFolder(tmp_path / "of-mean")
    make_soup(pair, faces, mean, {})
    train(plan_training(recipe, faces), of_mean, init_from=mean)
    expected = (
        ((pair[0], after), False),
        ((pair[1], after), True),
        ((*pair, after), False),
        ((pair[1], mean), False),
        ((mean, of_mean), False),
        ((*pair, mean, of_mean), False),
        ((pair[0], of_mean), True),
    )
    for runs, apart in expected:
        assert began_apart(runs, digests_of(runs)) is apart


def test_runs_that_have_no_mean_are_refused(tmp_path, faces, tiny_recipe, pair, tiny_run):
    other = RunFolder(tmp_path / "other")
    wide = tiny_recipe.model_copy(update={"epochs": 1, "model": tiny_recipe.model.model_copy(update={"stem_width": 8})})
    train(plan_training(wide, faces), other)
    out = RunFolder(tmp_path / "out")
    with raises(RunError, "soup-mismatch"):
        make_soup([pair[0], other], faces, out, {})
    fewer = faces.subset(np.flatnonzero(faces.rows != faces.of_split("train").rows[0]))
    with raises(RunError, "run-other-data"):
        make_soup(pair, fewer, out, {})
    with raises(RunError, "soup-same-weights"):
        make_soup([*pair, pair[0]], faces, out, {})
    with raises(RunError, "checkpoint-missing"):
        make_soup([pair[0], RunFolder(tmp_path / "none")], faces, out, {})
    assert not out.path.exists()
    with raises(RunError, "run-exists"):
        make_soup(pair, faces, tiny_run, {})


def test_one_run_without_norms_has_nothing_to_renew(tmp_path, faces, tiny_recipe):
    plain, out = RunFolder(tmp_path / "plain"), RunFolder(tmp_path / "out")
    study_a = {"epochs": 1, "model": ModelRecipe(name="study-a")}
    train(plan_training(tiny_recipe.model_copy(update=study_a), faces), plain)
    with raises(RunError, "no-batch-norm"):
        make_soup([plain], faces, out, {})
    assert not out.path.exists()


def test_the_command_leaves_a_run_that_reads(mien, tmp_path, pair, faces):
    out, data = tmp_path / "soup", tmp_path / "faces.parquet"
    unread = tmp_path / "unread.parquet"
    unread.write_bytes(b"refused only once it is read")
    write_parquet(faces, data)
    answer = mien("soup", pair[0].path, pair[1].path, "--data", data, "--out", out, "--json")
    assert answer.code == 0, answer.err
    measured = json.loads(answer.out)["headline"]["accuracy"]["value"]
    manifest = read_manifest(out / "model.onnx")
    assert manifest.name == "tiny-soup"
    assert manifest.scores["validation_accuracy"] == measured
    learnt = faces.fingerprint_without_test
    assert learnt != faces.fingerprint
    assert [manifest.data_fingerprint, checkpoint.load(RunFolder(out).best)[1]["data_fingerprint"]] == [learnt] * 2
    assert len(RunFolder(out).read_environment()["soup_of"]) == 2
    on = mien("train", out / "recipe.toml", "--data", data, "--out", out, "--resume")
    refused(on, "run-not-resumable", out)
    again = mien("soup", pair[0].path, pair[1].path, "--data", data, "--out", out)
    refused(again, "run-exists", out)
    twice = mien("soup", "default", "default", "--data", unread, "--out", tmp_path / "two")
    refused(twice, "soup-same-weights")
    shipped = mien("soup", "default", "--data", data, "--out", tmp_path / "two")
    refused(shipped, "run-other-data")
    assert mien("audit", data, "--out", tmp_path / "audit", "-q").code == 0
    listed = ("--clean", tmp_path / "audit" / "clean.toml", "--out", tmp_path / "clean")
    assert mien("soup", pair[0].path, pair[1].path, "--data", data, *listed).code == 0
    assert "clean_sha256" in RunFolder(tmp_path / "clean").read_environment()
    alone = tmp_path / "one"
    assert mien("soup", pair[0].path, "--data", data, "--out", alone).code == 0
    kept, renewed = (checkpoint.load(run.best)[0] for run in (pair[0], RunFolder(alone)))
    assert all(torch.equal(value, kept[name]) != ("running" in name) for name, value in renewed.items())
