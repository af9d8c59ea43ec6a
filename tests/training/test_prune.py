"""Oracles: networks with channels that do nothing, which must go; the whole network, where all channels stay."""

import copy

import numpy as np
import pytest
import torch

from mien.artifact import read_manifest
from mien.data.parquet import write_parquet
from mien.errors import RecipeError, RunError
from mien.models.registry import build_model
from mien.preprocess import InputSpec, to_input
from mien.recipe import ModelRecipe, Recipe
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.batch_norm import recalibrate_bn
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.prune import LOOKED_AT, make_pruned, prune_into
from support import raises, refused

SPEC = InputSpec(crop_px=44)


def network(widths, convolutions=(1, 3, 2), seed=0, stem=4):
    torch.manual_seed(seed)
    recipe = ModelRecipe(
        name="mien", stem_width=stem, widths=list(widths), convolutions=list(convolutions), dropout=0.1
    )
    return build_model(recipe, 7, 44).eval()


def inputs(faces, count=64):
    return torch.from_numpy(to_input(np.asarray(faces.images[:count]), SPEC))


@torch.no_grad()
def test_a_network_of_all_channels_is_the_network(faces):
    whole, same = network((8, 16, 24)), network((8, 16, 24), seed=1)
    images = np.asarray(faces.images[:64])
    recalibrate_bn(whole, images, SPEC)
    prune_into(same, whole, images, SPEC)
    assert torch.allclose(same(inputs(faces)), whole(inputs(faces)), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("convolutions", [(1, 1, 1), (1, 3, 2), (2, 2, 3)])
def test_channels_that_nothing_takes_up_are_those_that_go(faces, convolutions):
    """Every second channel of each stage is cut off from all that follows: without them nothing changes."""
    whole, thin = network((8, 16, 24), convolutions), network((4, 8, 12), convolutions, seed=1)
    following = [*(stage.entry[0].weight for stage in list(whole.stages)[1:]), whole.head.weight]
    for stage, weight in zip(whole.stages, following, strict=True):
        weight[:, 1::2] = 0
        if stage.branch is None:
            continue
        layers = [layer for layer in stage.branch if isinstance(layer, torch.nn.Conv2d)]
        for layer in layers:
            layer.weight[:, 1::2] = 0
        # As many hidden units as the thinner network has; the others are silent.
        stage.branch[-1].excite.weight[:, 8:] = 0
        stage.branch[-1].squeeze.weight[:, 1::2] = 0
    images = np.asarray(faces.images[:64])
    recalibrate_bn(whole, images, SPEC)
    prune_into(thin, whole, images, SPEC)
    assert torch.allclose(thin(inputs(faces)), whole(inputs(faces)), atol=1e-4)


@torch.no_grad()
def test_channels_of_the_stem_that_nothing_takes_up_are_those_that_go(faces):
    whole, thin = network((8, 12), (2, 1)), network((8, 12), (2, 1), seed=1, stem=2)
    whole.stages[0].entry[0].weight[:, [0, 3]] = 0
    images = np.asarray(faces.images[:64])
    recalibrate_bn(whole, images, SPEC)
    prune_into(thin, whole, images, SPEC)
    assert torch.equal(thin.stem[0].weight, whole.stem[0].weight[[1, 2]])
    assert torch.allclose(thin(inputs(faces)), whole(inputs(faces)), atol=1e-4)


def nearly_constant(norm, value=5.0):
    """Every second channel gives the same to all faces, and a lot."""
    norm.weight[::2] = 1e-4
    norm.bias[::2] = value


def norm_of(layers):
    return next(layer for layer in layers if isinstance(layer, torch.nn.BatchNorm2d))


@torch.no_grad()
@pytest.mark.parametrize(
    ("stage", "convolutions"),
    [pytest.param(1, (1, 1), id="the head"), pytest.param(0, (1, 1), id="stage"), pytest.param(0, (2, 1), id="branch")],
)
def test_what_a_removed_channel_gave_on_average_is_not_missed(faces, stage, convolutions):
    """Channels that hardly vary go first, and what they gave is in the bias or in the means that follow."""
    widths = (8, 12)
    whole = network(widths, convolutions)
    thin = network(
        [width // 2 if place == stage else width for place, width in enumerate(widths)], convolutions, seed=1
    )
    nearly_constant(norm_of(whole.stages[stage].entry))
    if whole.stages[stage].branch is not None:
        # What the branch adds is the same, too, for the channels that go.
        norm_of(whole.stages[stage].branch).weight[::2] = 1e-4
        whole.stages[stage].branch[-1].squeeze.weight[:, ::2] = 0
    images = np.asarray(faces.images[:64])
    recalibrate_bn(whole, images, SPEC)
    prune_into(thin, whole, images, SPEC)
    without = copy.deepcopy(thin)
    if stage == 1:
        without.head.bias.copy_(whole.head.bias)
    else:
        norm_of(without.stages[1].entry).running_mean.copy_(norm_of(whole.stages[1].entry).running_mean)
        if whole.stages[0].branch is not None:
            means = norm_of(whole.stages[0].branch).running_mean[1::2]
            norm_of(without.stages[0].branch).running_mean.copy_(means)
    expected = whole(inputs(faces))
    # Not exact: beyond the border are zeros, not what the channel gave.
    assert (thin(inputs(faces)) - expected).abs().mean() < 0.5 * (without(inputs(faces)) - expected).abs().mean()


@torch.no_grad()
def test_a_channel_that_only_its_own_branch_takes_up_stays(faces):
    whole, thin = network((8, 12), (2, 1)), network((4, 12), (2, 1), seed=1)
    heard = torch.tensor([1, 2, 4, 7])
    silent = torch.tensor([0, 3, 5, 6])
    whole.stages[1].entry[0].weight[:] = 0  # nobody after the stage hears any channel
    whole.stages[0].branch[0].weight[:, silent] = 0
    prune_into(thin, whole, np.asarray(faces.images[:64]), SPEC)
    assert torch.equal(thin.stages[0].entry[0].weight, whole.stages[0].entry[0].weight[heard])


@torch.no_grad()
def test_inside_a_branch_the_channels_stay_that_its_norm_lets_through(faces):
    whole, thin = network((8, 12), (3, 1)), network((4, 12), (3, 1), seed=1)
    norm_of(whole.stages[0].branch).weight.copy_(torch.tensor([0, 2.0, -3, 0, 0, 1, 2, 0]))
    prune_into(thin, whole, np.asarray(faces.images[:64]), SPEC)
    assert norm_of(thin.stages[0].branch).weight.tolist() == [2.0, -3.0, 1.0, 2.0]


@torch.no_grad()
def test_what_all_classes_share_counts_for_nothing(faces):
    whole, thin = network((8, 8), (1, 1)), network((8, 4), (1, 1), seed=1)
    whole.head.weight[:, ::2] += 100.0
    whole.head.weight[:, ::2] = whole.head.weight[:, ::2].mean(0)
    prune_into(thin, whole, np.asarray(faces.images[:64]), SPEC)
    assert torch.equal(thin.head.weight, whole.head.weight[:, 1::2])


def test_a_run_is_pruned_and_trained_on(tmp_path, faces, tiny_run):
    out = RunFolder(tmp_path / "thin")
    make_pruned(tiny_run, [4, 6], faces, out, {})
    pruned, facts = checkpoint.load_best(out)
    whole, _ = checkpoint.load_best(tiny_run)
    assert sum(each.numel() for each in pruned.parameters()) < sum(each.numel() for each in whole.parameters())
    assert facts["pruned_from"] == facts["started_from"]
    assert len(faces.of_split("train")) < LOOKED_AT
    tuned = RunFolder(tmp_path / "tuned")
    recipe = out.read_recipe().model_copy(update={"epochs": 1, "name": "tuned"})
    assert train(plan_training(recipe, faces), tuned, init_from=out).best_epoch == 1
    with raises(RunError, "run-not-resumable"):
        train(plan_training(out.read_recipe(), faces), out, resume=True)


def test_what_cannot_be_pruned_is_refused(tmp_path, faces, tiny_run):
    out = RunFolder(tmp_path / "thin")
    train_row = faces.of_split("train").rows[0]
    for widths in ([4], [4, 9], [0, 4]):
        with raises(RecipeError, "prune-widths", "4, 8", "--widths"):
            make_pruned(tiny_run, widths, faces, out, {})
    with raises(RunError, "run-other-data"):
        make_pruned(tiny_run, [4, 6], faces.subset(np.flatnonzero(faces.rows != train_row)), out, {})
    other = RunFolder(tmp_path / "vgg")
    recipe = Recipe.model_validate({"epochs": 1, "batch_size": 64, "model": {"name": "vgg11", "width": 4}})
    train(plan_training(recipe, faces), other)
    with raises(RecipeError, "model-not-prunable", "vgg11"):
        make_pruned(other, [4, 6], faces, out, {})
    assert not out.path.exists()


def test_the_command_leaves_a_run_that_reads(mien, tmp_path, tiny_run, faces):
    out, data = tmp_path / "thin", tmp_path / "faces.parquet"
    write_parquet(faces, data)
    unread = tmp_path / "unread.parquet"
    unread.write_bytes(b"refused only once it is read")
    words = ("prune", tiny_run.path, "--data", data, "--out", out)
    done = mien(*words, "--widths", "4,6")
    assert done.code == 0, done.err
    assert f"--from {out}" in done.err
    assert read_manifest(out / "model.onnx").recipe["model"]["widths"] == [4, 6]
    learnt = faces.fingerprint_without_test
    assert learnt != faces.fingerprint
    assert [
        read_manifest(out / "model.onnx").data_fingerprint,
        checkpoint.load(RunFolder(out).best)[1]["data_fingerprint"],
    ] == [learnt] * 2
    for widths, code in (("4,x", "widths"), ("4,9", "prune-widths"), ("4,8", "prune-nothing")):
        # Refused before the data is read.
        answer = mien("prune", tiny_run.path, "--data", unread, "--out", tmp_path / "other", "--widths", widths)
        refused(answer, code)
    stem = mien("prune", tiny_run.path, "--data", data, "--out", tmp_path / "other", "--widths", "4,6", "--stem", "5")
    refused(stem, "prune-stem", "--stem", 4, 5)
    assert not (tmp_path / "other").exists()
    narrow = mien(
        "prune", tiny_run.path, "--data", data, "--out", tmp_path / "narrow", "--widths", "4,6", "--stem", "3"
    )
    assert narrow.code == 0, narrow.err
    assert read_manifest(tmp_path / "narrow" / "model.onnx").recipe["model"]["stem_width"] == 3
    refused(mien(*words, "--widths", "4,6"), "run-exists")
    shipped = mien("prune", "default", "--data", data, "--out", tmp_path / "thinner", "--widths", "16,16,16,16")
    refused(shipped, "run-other-data")
