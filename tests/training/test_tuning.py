import pytest
import torch
from torch import nn

from mien.base.recipe import Recipe, load_recipe, tuned
from mien.base.recipe_tables import ModelRecipe
from mien.base.run_folder import RunFolder
from mien.models.registry import MODELS, build_model
from mien.training import checkpoint, loop
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.optim import blocks, build_optimizer, freeze, lr_scales, rate_factor
from mien.training.plan import plan_training, recipe_warnings
from mien.training.state import prepare
from training_support import changed


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
