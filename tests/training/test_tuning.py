import numpy as np
import pytest
import torch
from torch import nn

from mien.base.errors import RecipeError
from mien.base.recipe import ModelRecipe, Recipe, load_recipe, tuned
from mien.base.run_folder import RunFolder
from mien.models.registry import MODELS, build_model
from mien.training import checkpoint, loop
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.optim import blocks, build_optimizer, freeze, lr_scales, rate_factor
from mien.training.plan import plan_training, recipe_warnings
from mien.training.state import prepare
from support import raises
from training_support import changed


def small(name):
    settings = {"width": 4} if name.startswith(("vgg", "resnet")) else {}
    return build_model(ModelRecipe.model_validate({"name": name, **settings}), 5, 48)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "timm"])
def test_every_parameter_is_in_one_block_and_the_head_is_the_last(name):
    network = small(name)
    found = blocks(network)
    numbers = [id(parameter) for block in found for parameter in block]
    assert sorted(numbers) == sorted(id(parameter) for parameter in network.parameters())
    assert {id(parameter) for parameter in found[-1]} == {id(network.head.weight), id(network.head.bias)}
    assert id(next(network.parameters())) in {id(parameter) for parameter in found[0]}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mien", 1 + 3 + 1),  # stem, stages, head
        ("study-a", 4 + 1 + 1),  # convolutions, dense, head
        ("study-b", 6 + 1 + 1),
        ("vgg11", 8 + 1 + 1),
        ("resnet18", 1 + 8 + 1),  # stem, residual blocks, head
        ("resnet34", 1 + 16 + 1),
    ],
)
def test_blocks_are_those_that_one_counts_in_the_papers_figure(name, count):
    assert len(blocks(small(name))) == count


def test_a_norm_is_in_its_convolutions_block():
    found = blocks(small("study-b"))
    assert [len(block) for block in found] == [4] * 7 + [2], "weight and bias, of convolution and norm"


def test_timms_blocks(timm):
    """By hand: three convolutions of its stem, a residual block in each of four layers, the head; a ViT's embedding."""
    network = build_model(ModelRecipe.model_validate({"name": "timm", "backbone": "test_resnet"}), 5, 48)
    assert len(blocks(network)) == 3 + 4 + 1
    settings = {"name": "timm", "backbone": "test_vit"}
    network = build_model(ModelRecipe.model_validate(settings), 5, 48)
    found = blocks(network)
    assert id(network.backbone.pos_embed) in {id(parameter) for parameter in found[0]}
    assert sum(map(len, found)) == len(list(network.parameters()))


def test_rates_fall_by_the_factor_from_the_head_down():
    """Oracle: Howard & Ruder 2018, section 3.2: the rate of block l - 1 is that of block l times the factor."""
    network = small("resnet18")
    shares = lr_scales(network, 0.5)
    assert shares[network.head.weight] == 1.0
    for depth, block in enumerate([*network.stages][::-1], start=1):
        assert {shares[parameter] for parameter in block.parameters()} == {0.5**depth}
    assert shares[network.stem[0].weight] == 0.5**9
    assert set(lr_scales(network, 1.0).values()) == {1.0}


def test_each_groups_rate_in_training_is_the_schedules_times_its_share(faces, tiny_recipe):
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


def test_a_step_moves_each_weight_by_its_own_rate():
    """Oracle: plain SGD by hand, w <- w - lr * share * gradient."""
    torch.manual_seed(0)
    network = small("resnet18")
    shares = lr_scales(network, 0.5)
    recipe = Recipe().optim.model_copy(update={"momentum": 0.0})
    optimizer = build_optimizer(network, recipe, shares)
    for group in optimizer.param_groups:
        group["lr"] = 0.1 * group["lr_scale"]
    before = {p: p.detach().clone() for p in network.parameters()}
    network(torch.randn(4, 1, 48, 48)).square().sum().backward()
    optimizer.step()
    for parameter, old in before.items():
        assert parameter.detach().numpy() == pytest.approx(
            (old - 0.1 * shares[parameter] * parameter.grad).numpy(), rel=1e-4, abs=1e-8
        )


def test_freezing_leaves_the_head_alone_and_is_undone():
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


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_after_frozen_epochs_all_but_the_head_is_what_it_was_bit_for_bit(tmp_path, faces, tiny_recipe, tiny_run, name):
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


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("epoch", [2, 3, 4])
def test_a_run_cut_before_at_and_after_the_thaw_ends_bit_identical(tmp_path, faces, tiny_recipe, tiny_run, name, epoch):
    """Two frozen epochs: cut in the last of them, in the first after it, and in the second after it."""
    recipe = changed(
        tiny_recipe,
        epochs=5,
        optim={"name": name, "lr": 1e-3},
        tuning={"frozen_epochs": 2, "layer_decay": 0.7},
    )

    class Cut(Callback):
        def on_step_end(self, now, images, loss):
            if now == epoch:
                raise ConnectionResetError

    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    train(plan_training(recipe, faces), whole, init_from=tiny_run)
    with pytest.raises(ConnectionResetError):
        train(plan_training(recipe, faces), cut, init_from=tiny_run, callback=Cut())
    assert len(checkpoint.load(cut.last)[1]["history"]) == epoch - 1
    train(plan_training(recipe, faces), cut, resume=True, init_from=tiny_run)
    for file in ("best", "last"):
        ours, theirs = checkpoint.load(getattr(whole, file))[0], checkpoint.load(getattr(cut, file))[0]
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_patience_waits_for_the_thaw(tmp_path, faces, tiny_recipe):
    """A rate of almost 0 makes the first epoch the best of all."""
    recipe = changed(
        tiny_recipe,
        epochs=30,
        ema_decay=0.0,
        optim={"lr": 1e-12},
        stopping={"metric": "macro_f1", "patience": 2},
        tuning={"frozen_epochs": 4},
    )
    outcome = train(plan_training(recipe, faces), RunFolder(tmp_path / "run"))
    assert len(outcome.history) == max(outcome.best_epoch, 4) + 2


def test_seven_classes_then_five_then_two_without_any_network(tmp_path, faces, tiny_recipe, tiny_run):
    """Each run begins with the former one's weights; heads by class name. Oracle: the start of a run of no steps."""
    recipe = load_recipe("tune", ["epochs=1", "tuning.frozen_epochs=1", "batch_size=32"])
    start = tiny_run
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


def test_doubts_are_spoken_where_nothing_but_the_head_will_learn():
    for epochs, spoken in ((1, True), (2, True), (3, False)):
        found = recipe_warnings(load_recipe("tune", [f"epochs={epochs}"]), from_run=True)
        assert [doubt.code for doubt in found] == ["only-head-learns"] * spoken


def test_doubts_are_spoken_where_there_is_less_to_learn_than_one_batch():
    (doubt,) = recipe_warnings(Recipe(batch_size=64), train_faces=63)
    assert doubt.code == "batch-too-large"
    assert "63 faces" in doubt


def test_few_steps_are_counted_and_a_smaller_batch_is_advised():
    """Oracle: 640 faces are ten steps of 64 an epoch."""
    (few,) = recipe_warnings(Recipe(batch_size=64, epochs=9), train_faces=640)
    assert few.code == "few-steps"
    assert " 90 " in few
    for recipe in (Recipe(batch_size=64, epochs=10), Recipe(batch_size=16, epochs=1)):
        assert list(recipe_warnings(recipe, train_faces=640)) == []


def test_doubts_are_spoken_where_the_start_is_random():
    assert list(recipe_warnings(Recipe())) == []
    assert next(recipe_warnings(load_recipe("tune"))).code == "weights-random-frozen"
    of_timm = load_recipe("tune", ["model.name=timm"])
    assert list(recipe_warnings(of_timm)) == []
    random = [each.code for each in recipe_warnings(load_recipe("tune", ["model.name=timm", "model.pretrained=false"]))]
    assert random == ["weights-random", "weights-random-frozen"]
    with raises(RecipeError, "model-unknown", "'nonsense'"):
        list(recipe_warnings(load_recipe("tune", ["model.name=nonsense"])))
    assert np.isclose(load_recipe("tune").tuning.layer_decay, 0.7)
