"""Optimisers, schedules, averages, and fine-tuning of some layers. Oracles: torch, papers, and the formulas by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn, optim

from mien.base.preprocess import InputSpec, to_input
from mien.base.recipe import Recipe, load_recipe, tuned
from mien.base.recipe_tables import ModelRecipe, OptimRecipe, ScheduleRecipe
from mien.base.run_folder import RunFolder
from mien.models.registry import MODELS, build_model
from mien.training import checkpoint, loop
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.optim import (
    WeightAverage,
    blocks,
    build_optimizer,
    freeze,
    lr_scales,
    plateau_factor,
    rate_factor,
    recalibrate_bn,
    some_images,
)
from mien.training.plan import plan_training, recipe_warnings
from mien.training.state import prepare
from training_support import changed, same, trained


def rates(recipe, epochs=10, steps=10):
    return [rate_factor(recipe, step, steps, epochs) for step in range(epochs * steps)]


def one_parameter():
    return optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.parametrize(("recipe", "theirs"), [
    (ScheduleRecipe(name="cosine", final=0.1), lambda of: optim.lr_scheduler.CosineAnnealingLR(of, 100, eta_min=0.1)),
    # torch counts steps: 30 of them are three epochs.
    (ScheduleRecipe(name="step", step_epochs=3, factor=0.5), lambda of: optim.lr_scheduler.StepLR(of, 30, gamma=0.5)),
])  # fmt: skip
def test_schedule_equals_torchs(recipe, theirs):
    optimizer, seen = one_parameter(), []
    schedule = theirs(optimizer)
    for _ in range(100):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates(recipe) == pytest.approx(seen, abs=1e-6)


def test_one_cycle_rises_and_falls_linearly():
    """Oracle: Smith & Topin 2018, figure 1a."""
    seen = rates(ScheduleRecipe(name="one-cycle", warmup=0.2, final=0.05))
    assert (max(seen), seen.index(max(seen))) == (pytest.approx(1.0), 20)
    up = [second - first for first, second in pairwise(seen[:20])]
    down = [second - first for first, second in pairwise(seen[20:])]
    assert (max(up) - min(up), max(down) - min(down)) == (pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-9))
    assert 0.05 < seen[-1] < 0.07
    seen = rates(ScheduleRecipe(warmup=0.1))
    assert seen[0] > 0
    assert (seen[:10], set(seen[10:])) == (sorted(seen[:10]), {1.0})


@pytest.mark.parametrize("losses", [[5, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8], [3, 2, 1], []])
def test_plateau_equals_torchs_schedule(losses):
    """Oracle: torch's ReduceLROnPlateau without threshold; its patience counts one less than ours."""
    optimizer = one_parameter()
    theirs = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=0.0, eps=0)
    for loss in losses:
        theirs.step(loss)
    recipe = ScheduleRecipe(name="plateau", factor=0.5, patience=3)
    assert plateau_factor(recipe, losses) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert plateau_factor(ScheduleRecipe(name="cosine"), losses) == 1.0
    assert not math.isnan(plateau_factor(recipe, [math.nan] * 3))


@pytest.mark.parametrize(("name", "expected"), [
    ("sgd", {"momentum": 0.7, "nesterov": False}),
    ("adam", {"betas": (0.8, 0.9), "eps": 1e-4}),
    ("adamw", {"betas": (0.8, 0.9), "eps": 1e-4}),
    ("rmsprop", {"momentum": 0.7, "eps": 1e-4}),
])  # fmt: skip
def test_build_optimizer_uses_the_recipes_settings(name, expected):
    """None of them is torch's own default. Without momentum there is no Nesterov's."""
    recipe = OptimRecipe(name=name, lr=0.03, momentum=0.7, nesterov=False, betas=(0.8, 0.9), epsilon=1e-4)
    optimizer = build_optimizer(nn.Linear(2, 2), recipe)
    assert type(optimizer).__name__.lower() == name
    for group in optimizer.param_groups:
        assert ({key: group[key] for key in expected}, group["lr"]) == (expected, 0.03)
    assert not build_optimizer(nn.Linear(2, 2), OptimRecipe(momentum=0.0)).param_groups[0]["nesterov"]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_optimizer_groups_have_lr_scale_and_no_decay_for_vectors(name):
    network = build_model(ModelRecipe(name="study-b"), 7, 48)
    shares = {network.head.weight: 1.0, network.head.bias: 1.0}
    shares = {p: shares.get(p, 0.5) for p in network.parameters()}
    optimizer = build_optimizer(network, OptimRecipe(name=name, weight_decay=0.1, lr=0.01), shares)
    seen = {id(p): (g["lr_scale"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert len(seen) == len(list(network.parameters()))
    for key, parameter in network.named_parameters():
        is_weight = key.endswith("weight") and parameter.ndim > 1
        assert seen[id(parameter)] == (shares[parameter], 0.1 if is_weight else 0.0), key


def test_optimizer_without_scales_has_two_groups():
    """Their order is that of the optimiser's state in last.safetensors: runs of an older mien are resumed."""
    network = build_model(ModelRecipe(name="study-b"), 7, 48)
    first, second = build_optimizer(network, OptimRecipe()).param_groups
    assert [id(p) for p in first["params"]] == [id(p) for p in network.parameters() if p.ndim > 1]
    assert [id(p) for p in second["params"]] == [id(p) for p in network.parameters() if p.ndim <= 1]
    assert first["lr_scale"] == second["lr_scale"] == 1.0
    # 257 of them: Study B's network norms vectors, of which one alone has no variance.
    images = np.random.default_rng(0).integers(0, 256, (257, 48, 48), dtype=np.uint8)
    network = build_model(ModelRecipe(name="study-b"), 7, 48)
    means = network.state_dict()["dense.3.running_mean"]
    before = means.clone()
    recalibrate_bn(network, images, InputSpec())
    assert not torch.equal(means, before)


def test_recalibrate_bn_changes_only_running_statistics(tiny_run, faces):
    network, _ = checkpoint.load_best(tiny_run)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    momenta = [module.momentum for module in network.modules() if hasattr(module, "momentum")]
    recalibrate_bn(network, np.asarray(faces.images), tiny_run.read_recipe().input)
    assert momenta == [module.momentum for module in network.modules() if hasattr(module, "momentum")]
    assert not any(module.training for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(before[name], value) != ("running" in name), name


def test_prepare_keeps_the_same_random_images_for_recalibration(monkeypatch, faces, tiny_recipe):
    images = np.asarray(faces.of_split("train").images)
    assert np.array_equal(some_images(images), images)
    monkeypatch.setattr("mien.training.optim.MAX_IMAGES", 20)
    chosen = {image.tobytes() for image in some_images(images)}
    assert len(chosen) == 20
    assert chosen != {image.tobytes() for image in images[:20]}, "the first ones may be of one class"
    for kept in (some_images(images), prepare(plan_training(changed(tiny_recipe, recalibrate_bn=True), faces))):
        kept = getattr(kept, "recalibration_images", kept)
        assert {image.tobytes() for image in kept} == chosen
    assert prepare(plan_training(tiny_recipe, faces)).recalibration_images is None


def test_run_saves_statistics_of_images_without_augmentation(tmp_path, faces, tiny_recipe):
    """By update_bn on the train faces, for the averaged weights and for a run without an average."""
    train_faces = faces.of_split("train")
    for decay in (0.0, 0.9):
        # Faces are served as the data has them, however training balances them.
        balance = {"sampling": "oversample"}
        recipe = changed(tiny_recipe, epochs=2, recalibrate_bn=True, ema_decay=decay, balance=balance)
        network, _ = checkpoint.load_best(trained(recipe, faces, tmp_path / str(decay)))
        kept = {name: value.clone() for name, value in network.state_dict().items()}
        order = np.random.default_rng(0).permutation(len(train_faces))
        inputs = torch.from_numpy(to_input(np.asarray(train_faces.images)[order], recipe.input))
        torch.optim.swa_utils.update_bn(inputs.tensor_split(-(-len(inputs) // 256)), network)
        for name, value in network.state_dict().items():
            if "running" in name:
                assert torch.allclose(value, kept[name], rtol=1e-4, atol=1e-5), (decay, name)


@pytest.mark.parametrize("frozen", [0, 2])
@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_recalibration_changes_no_trained_weight(tmp_path, faces, tiny_recipe, tiny_run, decay, frozen):
    """Training itself norms by its own batches, so that weights and their average come out alike to the bit."""
    weights, tuning = [], {"frozen_epochs": frozen}
    for renewed in (False, True):
        recipe = changed(tiny_recipe, epochs=3, recalibrate_bn=renewed, ema_decay=decay, tuning=tuning)
        tensors = checkpoint.load(trained(recipe, faces, tmp_path / str(renewed), init_from=tiny_run).last)[0]
        weights.append({name: value for name, value in tensors.items() if "running" not in name})
    assert same(*weights)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))


def test_weight_average_follows_its_formula():
    """Oracle: the recurrence in the docstring, by hand, for weights and running statistics."""
    net = network()
    average = WeightAverage(net, 0.9)
    expected = {name: value.clone() for name, value in net.state_dict().items() if value.is_floating_point()}
    for step in range(30):
        with torch.no_grad():
            net[0].weight.add_(1.0)
            net[1].running_mean.add_(0.5)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            if name in expected:
                expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in expected.items():
        assert average.tensors[name].numpy() == pytest.approx(value.numpy(), rel=1e-5)
    net = network()
    average, own = WeightAverage(net, 0.9), net[0].weight.clone()
    average.tensors["0.weight"].fill_(7.0)
    with pytest.raises(ZeroDivisionError), average.in_place():
        assert (net[0].weight == 7).all()
        raise ZeroDivisionError
    assert torch.equal(net[0].weight, own)
    assert (average.tensors["0.weight"] == 7).all()


def small(name):
    settings = {"width": 4} if name.startswith(("vgg", "resnet", "joined")) else {}
    return build_model(ModelRecipe.model_validate({"name": name, **settings}), 5, 48)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "timm"])
def test_blocks_contain_each_parameter_once_with_head_last(name):
    network = small(name)
    found = blocks(network)
    numbers = [id(parameter) for block in found for parameter in block]
    assert sorted(numbers) == sorted(id(parameter) for parameter in network.parameters())
    assert {id(parameter) for parameter in found[-1]} == {id(network.head.weight), id(network.head.bias)}
    assert id(next(network.parameters())) in {id(parameter) for parameter in found[0]}


@pytest.mark.parametrize(("name", "count"), [
    ("mien", 1 + 3 + 1),  # stem, stages, head
    ("study-a", 4 + 1 + 1),  # convolutions, dense, head
    ("study-b", 6 + 1 + 1),
    ("vgg11", 8 + 1 + 1),
    ("resnet18", 1 + 8 + 1),  # stem, residual blocks, head
    ("resnet34", 1 + 16 + 1),
    ("joined", 1 + 8 + 1),  # those of the ResNet; the other network's are in the last of them
])  # fmt: skip
def test_blocks_match_the_papers_figure(name, count):
    assert len(blocks(small(name))) == count


def test_blocks_of_timm_backbones(timm):
    """By hand: three convolutions of its stem, a residual block in each of four layers, the head; a ViT's embedding."""
    network = build_model(ModelRecipe.model_validate({"name": "timm", "backbone": "test_resnet"}), 5, 48)
    assert len(blocks(network)) == 3 + 4 + 1
    network = build_model(ModelRecipe.model_validate({"name": "timm", "backbone": "test_vit"}), 5, 48)
    found = blocks(network)
    assert id(network.backbone.pos_embed) in {id(parameter) for parameter in found[0]}
    assert sum(map(len, found)) == len(list(network.parameters()))


def test_lr_scales_fall_by_layer_decay(faces, tiny_recipe):
    """Oracle: Howard & Ruder 2018, section 3.2: the rate of block l - 1 is that of block l times the factor."""
    network = small("resnet18")
    shares = lr_scales(network, 0.5)
    assert shares[network.head.weight] == 1.0
    for depth, block in enumerate([*network.stages][::-1], start=1):
        assert {shares[parameter] for parameter in block.parameters()} == {0.5**depth}
    assert (shares[network.stem[0].weight], set(lr_scales(network, 1.0).values())) == (0.5**9, {1.0})
    recipe = changed(tiny_recipe, tuning={"layer_decay": 0.25})
    state = prepare(plan_training(recipe, faces))
    loop._train_epoch(state, 1, Callback(), lambda: False)
    last = rate_factor(recipe.schedule, state.plan.steps_per_epoch - 1, state.plan.steps_per_epoch, recipe.epochs)
    # Stem, two stages, head.
    expected = [recipe.optim.lr * last * 0.25**depth for depth in (3, 2, 1, 0)]
    assert sorted({group["lr"] for group in state.optimizer.param_groups}) == pytest.approx(expected)
    stem = state.network.stem[0].weight
    rate_of_stem = {group["lr"] for group in state.optimizer.param_groups if any(p is stem for p in group["params"])}
    assert rate_of_stem == {min(group["lr"] for group in state.optimizer.param_groups)}


def test_freeze_trains_only_the_head_and_is_undone():
    network = small("study-b").train()
    optimizer = build_optimizer(network, Recipe().optim)
    freeze(network, optimizer, frozen=True)
    assert [name for name, p in network.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert not module.training
        if isinstance(module, nn.Dropout):
            assert module.training, "dropout has no statistics, and still serves the head"
    freeze(network.train(), optimizer, frozen=False)
    assert all(p.requires_grad for p in network.parameters())
    assert all(module.training for module in network.modules())
    found = blocks(small("study-b"))
    assert [len(block) for block in found] == [4] * 7 + [2], "weight and bias, of convolution and norm"


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_frozen_epochs_change_only_the_head(tmp_path, faces, tiny_recipe, tiny_run, name):
    """With weight decay, momentum and averaging on; the epoch after it, everything has moved."""
    recipe = changed(tiny_recipe, epochs=3, optim={"name": name, "lr": 0.01}, tuning={"frozen_epochs": 2})
    recipe = changed(recipe, optim={"weight_decay": 0.1})
    start, _ = checkpoint.load(tiny_run.best)
    after = {}

    class Look(Callback):
        def on_epoch_end(self, line, is_best):
            after[line["epoch"]], _ = checkpoint.load(run.last)

    run = RunFolder(tmp_path / "run")
    # Looking at the end of epoch 2 is enough: the loop keeps `last` before it tells of the epoch.
    train(plan_training(recipe, faces), run, init_from=tiny_run, callback=Look())
    for kind in ("model", "average"):
        frozen, moved = checkpoint.unpack(kind, after[2]), checkpoint.unpack(kind, after[3])
        for key, value in frozen.items():
            assert torch.equal(value, start[key]) == (not key.startswith("head.")), key
        for key, value in moved.items():
            assert not torch.equal(value, start[key]), key


def test_models_are_tuned_from_seven_to_five_to_two_classes(tmp_path, faces, tiny_recipe, tiny_run):
    """Each run begins with the former one's weights; heads by class name. Oracle: the start of a run of no steps."""
    recipe, start = load_recipe("tune", ["epochs=1", "tuning.frozen_epochs=1", "batch_size=32"]), tiny_run
    for scheme, names in (
        ("five", ["angry", "fear", "happy", "sad", "surprise"]),
        ("binary", ["negative", "positive"]),
    ):
        here = tuned(recipe.model_copy(update={"classes": scheme}), start.read_recipe())
        run = RunFolder(tmp_path / scheme)
        former, _ = checkpoint.load(start.best)
        state = prepare(plan_training(here, faces), start)
        if scheme == "five":
            kept = [faces.classes.index(name) for name in state.plan.validation.classes]
            assert torch.equal(state.network.head.weight, former["head.weight"][kept])
        train(plan_training(here, faces), run, init_from=start)
        now, facts = checkpoint.load(run.best)
        assert sorted(facts["classes"]) == names
        below = [key for key in former if not key.startswith("head.")]
        assert all(torch.equal(now[key], former[key]) for key in below), "only the head learnt, in this one epoch"
        start = run


@pytest.mark.parametrize(("recipe", "faces", "from_run", "code", "value"), [
    (load_recipe("tune", ["epochs=2"]), None, True, "only-head-learns", "2"),
    (load_recipe("tune", ["epochs=3"]), None, True, None, ""),
    (Recipe(batch_size=64), 63, False, "batch-too-large", "63 faces"),
    # 640 faces are ten steps of 64 an epoch.
    (Recipe(batch_size=64, epochs=9), 640, False, "few-steps", "(90) at batch_size = 64"),
    (Recipe(self_adaptive=0.5, augment={"cutmix": 1}), None, False, "targets-stay", "augment.mixup_probability"),
    (Recipe(batch_size=64, epochs=10), 640, False, None, ""),
    (Recipe(batch_size=16, epochs=1), 640, False, None, ""),
    (load_recipe("tune"), None, False, "weights-random-frozen", "--from RUN"),
    (load_recipe("tune", ["model.name=timm"]), None, False, None, ""),
    (load_recipe("tune", ["model.name=timm", "model.pretrained=false"]), None, False, "weights-random-frozen", ""),
])  # fmt: skip
def test_recipe_warnings_name_surprises(recipe, faces, from_run, code, value):
    found = list(recipe_warnings(recipe, from_run=from_run, train_faces=faces))
    assert [each.code for each in found] == [code] * (code is not None)
    assert value in "".join(found)
