"""A user's own network, loss, augmentation and optimiser. Oracles: the recipe's, torch, what lies in the run."""

import hashlib
import inspect
import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import mien as package
from mien import train as train_and_export
from mien.api.train import TrainingJob
from mien.base import run_folder
from mien.base.errors import RecipeError, RunError, TrainingError
from mien.base.recipe import check_recipe, dump_recipe, load_recipe
from mien.base.recipe_tables import ModelRecipe
from mien.base.run_folder import RunFolder
from mien.models.registry import build_model, complete, completed
from mien.training.callback import Callback
from mien.training.loop import recipe_batches, train
from mien.training.optim import blocks
from mien.training.plan import Parts, plan_training
from mien.training.state import prepare
from support import raises, ran, refused
from training_support import break_off, changed, kept, same, same_weights, trained

MINE = """
import torch.nn.functional as F
from torch import nn

class MyNet(nn.Module):
    def __init__(self, classes, width=4, norm=True):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, width, 3, 4), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten())
        self.last = nn.LazyLinear(classes)

    def forward(self, images):
        return self.last(self.layers(images))

class WithoutLinear(nn.Module):
    def __init__(self, num_classes, stride=(4,)):
        super().__init__()
        self.conv = nn.Conv2d(1, num_classes, 3, stride + (4,))

    def forward(self, images):
        return F.relu(self.conv(images)).mean((2, 3))

class Wider(MyNet):
    def __init__(self, classes):
        super().__init__(classes, width=9)
        self.layers.insert(3, nn.Conv2d(9, 9, 1))

class Chain(nn.Sequential):
    def __init__(self, classes):
        super().__init__(nn.Conv2d(1, 3, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))

class Deep(nn.Module):
    def forward(self, images):
        return images

class Sees(WithoutLinear):
    def forward(self, images):
        return super().forward(images) / images.sum() * 0

class Fails(nn.Module):
    def forward(self, images):
        raise ValueError("no such layer")

class Bare(nn.Module):
    def forward(self, images):
        return images[:, 0, 0, :7]

class Exact(WithoutLinear):
    def forward(self, images):
        return super().forward(images).double()
"""


@pytest.fixture
def mine(tmp_path, tiny_recipe_text):
    """A recipe with a network of a file beside it, of one epoch."""
    (tmp_path / "mine.py").write_text(MINE)
    text = tiny_recipe_text.replace("epochs = 2", "epochs = 1")
    before, after = text.split("[model]")[0], text.split("[optim]")[1]
    recipe = tmp_path / "mine.toml"
    recipe.write_text(f'{before}[model]\nfile = "mine.py"\nname = "MyNet"\nwidth = 6\n\n[optim]{after}')
    return recipe


@pytest.mark.parametrize("is_copied", [False, True])
def test_run_killed_while_writing_its_first_files_resumes(tmp_path, mine, faces, monkeypatch, is_copied):
    plan, run, write = plan_training(load_recipe(str(mine)), faces), RunFolder(tmp_path / "run"), run_folder.write_bytes

    def write_and_die(path, content):
        if is_copied:
            write(path, content)
        raise ConnectionResetError

    with monkeypatch.context() as patched, pytest.raises(ConnectionResetError):
        patched.setattr(run_folder, "write_bytes", write_and_die)
        train(plan, run)
    assert train(plan, run, resume=True).reason == "all epochs done"
    assert (run.path / "mine.py").is_file()


def test_commands_use_the_network_stored_in_the_run(mien, tmp_path, mine, face_folder, monkeypatch):
    """Oracle: the commands, once the file that the run began with is gone."""
    run, data = tmp_path / "run", ("--data", face_folder)
    ran(mien("train", mine, *data, "--out", run))
    (tmp_path / "mine.py").unlink()
    monkeypatch.chdir(tmp_path)
    recipe = RunFolder(run).read_recipe()
    assert recipe.model.settings["file_sha256"] == hashlib.sha256(MINE.encode()).hexdigest()
    assert (recipe.model.settings["width"], recipe.model.settings["norm"]) == (6, True)
    assert str(tmp_path) not in (run / "recipe.toml").read_text()
    face, tune = next((face_folder / "test" / "happy").iterdir()), tmp_path / "tune.toml"
    tune.write_text("epochs = 1\n")
    for words in (
        ("train", run / "recipe.toml", *data, "--out", run, "--resume"),
        ("train", tune, *data, "--out", tmp_path / "tuned", "--from", run),
        ("explain", face, "--model", run, "--crops", "--method", "gradcam", "--out", "e"),
        ("evaluate", run, *data),
    ):
        ran(mien(*words))
    assert (tmp_path / "tuned" / "mine.py").read_text() == MINE
    (run / "mine.py").write_text(MINE + "\n# edited\n")
    refused(mien("train", tune, *data, "--out", tmp_path / "t2", "--from", run), "model-file")
    (tmp_path / "mine.py").write_text(MINE + "\n# edited\n")
    (run / "mine.py").write_text(MINE)
    refused(mien("train", mine, *data, "--out", run, "--resume"), "model-file", "mine.py")


@pytest.mark.parametrize(("text", "changes", "code", "value"), [
    ("import nothing_of_that_name", (), "model-file", "nothing_of_that_name"),
    ("raise SystemExit", (), "model-file", "SystemExit"),
    ("def broken(:", (), "model-file", "SyntaxError"),
    (MINE, ("model.name=MyNte", "model.file=mine.py"), "model-file", "'MyNet'"),
    (MINE, ("model.name=nn", "model.file=mine.py"), "model-file", "'nn'"),
    (MINE, ("model.name=Deep", "model.file=mine.py"), "model-file", "(2, 1, 44, 44)"),
    (MINE, ("model.name=Sees", "model.file=mine.py"), "model-file", "NaN"),
    (MINE, ("model.name=Fails", "model.file=mine.py"), "model-file", "no such layer"),
    (MINE, ("model.name=Bare", "model.file=mine.py"), "model-file", "no weights"),
    (MINE, ("model.name=Exact", "model.file=mine.py"), "model-file", "float64"),
    (MINE, ("model.depth=3",), "model-setting", "'depth'"),
    (MINE, ("model.file=other.py",), "model-file", "other.py"),
])  # fmt: skip
def test_train_refuses_a_network_file(mien, tmp_path, mine, face_folder, monkeypatch, text, changes, code, value):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(text)
    words = [word for change in changes for word in ("--set", change)]
    answer = mien("train", mine, "--data", face_folder, "--out", tmp_path / "run", *words)
    refused(answer, code, value)
    assert "Traceback" not in answer.err
    assert not (tmp_path / "run").exists()


def test_own_network_equals_the_users_module(tmp_path, mine):
    """Oracle: the class itself, with the same random numbers. One without a last linear layer keeps its logits.

    A setting that is a tuple in the class is a list in the recipe that the run stores.
    """
    names = {}
    exec(MINE, names)
    for name, takes in (("MyNet", {"classes": 7}), ("WithoutLinear", {"num_classes": 7})):
        recipe = ModelRecipe.model_validate({"name": name, "file": str(tmp_path / "mine.py")})
        recipe = ModelRecipe.model_validate_json(complete(recipe).model_dump_json())
        torch.manual_seed(3)
        network = build_model(recipe, 7, 44).eval()
        torch.manual_seed(3)
        plain = names[name](**takes).eval()
        with torch.no_grad():
            plain(torch.zeros(2, 1, 44, 44))  # a lazy layer draws its weights
            images = torch.rand(5, 1, 44, 44)
            assert torch.equal(network(images), plain(images)), name
            assert torch.equal(network.head(network.features(images)), plain(images))


def test_source_of_a_subclass_is_its_own_file(tmp_path, mine):
    """Oracle: the class itself. Its file is the one that it stands in, and not that of its base."""
    (tmp_path / "base.py").write_text(MINE)
    (tmp_path / "child.py").write_text("import base\n\nclass MyNet(base.Wider):\n    pass\n")
    run = [sys.executable, "-c", "import child, mien.models.own as own; print(own.source_of(child.MyNet)[1])"]
    found = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(tmp_path / "child.py")
    settings = {"file": str(tmp_path / "base.py")}
    recipes = [ModelRecipe.model_validate({"name": name, **settings}) for name in ("Wider", "Chain")]
    wider, chain = (build_model(recipe, 7, 44) for recipe in recipes)
    assert wider.body.layers[0].out_channels == 9
    # Blocks that learn at rates of their own: convolutions and the head.
    assert ([len(blocks(each)) for each in (wider, chain)], chain.head.in_features) == ([3, 2], 3)


def test_network_without_linear_head_tunes_only_as_a_whole(mien, tmp_path, mine, face_folder):
    """There is no head that could learn alone; `frozen_epochs = 0` is what the error names."""
    run, tune = tmp_path / "run", tmp_path / "tune.toml"
    tune.write_text("epochs = 1\n[tuning]\nfrozen_epochs = 1\n")
    mine.write_text(mine.read_text().replace("width = 6\n", "").replace("MyNet", "WithoutLinear"))
    assert mien("train", mine, "--data", face_folder, "--out", run).code == 0
    words = ("train", tune, "--data", face_folder, "--from", run, "--out", tmp_path / "tuned")
    refused(mien(*words), "model-setting", "frozen_epochs")
    refused(mien("train", "head", *words[2:]), "model-setting", "frozen_epochs")
    whole = (*words, "--set", "tuning.frozen_epochs=0")
    refused(mien(*whole, "--classes", "binary"), "model-setting", run)
    assert mien(*whole).code == 0


def smoothed(logits, labels):
    return functional.cross_entropy(logits, labels, label_smoothing=0.1)


def plain_sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True)


def test_own_loss_and_optimizer_equal_the_recipes(tmp_path, faces, tiny_recipe):
    """Oracle: the recipe, bit for bit. The run says that they are not of it, and is resumed with them alone."""
    recipe, parts = changed(tiny_recipe, optim={"weight_decay": 0.0}), Parts(loss=smoothed, optimizer=plain_sgd)
    own = trained(recipe, faces, tmp_path / "own", parts)
    assert same(kept(own), kept(trained(recipe, faces, tmp_path / "plain")))
    recorded = own.read_environment()["not_of_the_recipe"]
    assert [each.rpartition(".")[2] for each in recorded.values()] == ["smoothed", "plain_sgd"]
    with raises(RunError, "run-other", "smoothed"):
        train(plan_training(recipe, faces), own, resume=True)
    cut, longer = RunFolder(tmp_path / "cut"), plan_training(changed(recipe, epochs=3), faces, parts)
    break_off(longer, cut, longer.steps_per_epoch + 1)
    train(longer, cut, resume=True)
    assert same_weights(cut, trained(changed(recipe, epochs=3), faces, tmp_path / "whole", parts))


PARTS = f"""
import torch
from torch.nn import functional


{inspect.getsource(smoothed)}

{inspect.getsource(plain_sgd)}

class Counting(torch.nn.CrossEntropyLoss):
    calls = 0

    def forward(self, logits, labels):
        self.calls += 1
        return self.calls * super().forward(logits, labels)


class Rated(Counting):
    def __init__(self, rate):
        super().__init__(label_smoothing=rate)
"""


def test_parts_from_a_file_equal_parts_from_python(tmp_path, faces, tiny_recipe_text):
    """Oracle: the functions given in Python, bit for bit. The run keeps the file, and is resumed from it."""
    (tmp_path / "parts.py").write_text(PARTS)
    recipe, loss = tmp_path / "tiny.toml", '[loss]\nfile = "parts.py"\nname = "smoothed"\n\n[optim]\n'
    recipe.write_text(tiny_recipe_text.replace("[optim]\n", loss))
    own = load_recipe(str(recipe), ["optim.name=plain_sgd", f"optim.file={tmp_path / 'parts.py'}"])
    python, run = load_recipe(str(recipe), ["loss.file=", "loss.name="]), trained(own, faces, tmp_path / "own")
    assert same(kept(run), kept(trained(python, faces, tmp_path / "python", Parts(loss=smoothed, optimizer=plain_sgd))))
    assert "not_of_the_recipe" not in run.read_environment()
    stored = run.read_recipe()
    assert (stored.optim.name, stored.loss.file) == ("plain_sgd", str(run.path / "parts.py"))
    assert completed(stored).digest == completed(own).digest != completed(python).digest
    train(plan_training(stored, faces), run, resume=True)
    (run.path / "parts.py").write_text(PARTS + "\n")
    with raises(RecipeError, "model-file", "parts.py"):
        plan_training(stored, faces)


@pytest.mark.parametrize(("settings", "code", "value"), [
    (["loss.file=parts.py", "loss.name=smoothd"], "model-file", "'smoothed'"),
    (["loss.file=parts.py", "loss.name=Rated"], "model-file", "'rate'"),
    (["augment.file=gone.py", "augment.name=a"], "model-file", "gone.py"),
    (["loss.name=smoothed"], "recipe-value", "file and name"),
    (["optim.name=plain_sgd"], "recipe-value", "'rmsprop'"),
    (["loss.rate=0.1"], "recipe-value", "loss.rate"),
    (["loss.file=parts.py", "loss.name=Rated", "loss.rat=0.1"], "model-setting", "loss.rate"),
    (["loss.file=parts.py", "loss.name=smoothed", "loss.logits=1"], "model-setting", "logits"),
])  # fmt: skip
def test_plan_refuses_a_missing_part(tmp_path, faces, recipe_of, settings, code, value):
    with raises(RecipeError, code, value):
        plan_training(recipe_of(PARTS, settings), faces)


@pytest.fixture
def recipe_of(tmp_path, tiny_recipe_text, monkeypatch):
    """The tiny recipe with settings, beside a file of parts."""

    def make(text, settings):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "parts.py").write_text(text)
        (tmp_path / "tiny.toml").write_text(tiny_recipe_text)
        return load_recipe("tiny.toml", settings)

    return make


@pytest.mark.parametrize("flip", [True, False])
def test_training_notes_classes_of_sides_that_it_mirrors(faces, tiny_recipe, flip):
    recipe, sides = changed(tiny_recipe, augment={"flip": flip}), replace(faces, classes=("L_left", *faces.classes[1:]))
    for parts, mirrors in ((Parts(), flip), (Parts(augment=torch.clone), False)):
        codes = {notice.code for notice in TrainingJob(recipe).notices(plan_training(recipe, sides, parts))}
        assert ("mirrored" in codes) == mirrors


def test_loss_class_is_instantiated_once(faces, recipe_of):
    """Once: this loss counts. From a file and from Python."""
    recipe, names = recipe_of(PARTS, ["loss.file=parts.py", "loss.name=Counting"]), {}
    exec(PARTS, names)
    python = plan_training(changed(recipe, loss={"file": "", "name": ""}), faces, Parts(loss=names["Counting"]))
    logits, labels = torch.randn(4, 7), torch.arange(4)
    for plan in (plan_training(recipe, faces), python):
        assert plan.parts.label_loss(logits, labels) == functional.cross_entropy(logits, labels)
        assert plan.parts.label_loss(logits, labels) == 2 * functional.cross_entropy(logits, labels)
    with raises(TrainingError, "own-part", "rate"):
        plan_training(changed(recipe, loss={"file": "", "name": ""}), faces, Parts(loss=names["Rated"]))


ARGUMENTS = """
import torch
from torch.nn import functional

class Rated(torch.nn.CrossEntropyLoss):
    def __init__(self, rate=0.0, ends=(1, 2)):
        super().__init__(label_smoothing=rate)
        self.ends = ends

def brighter(images, by, flip=True):
    return images + by * flip

def own_sgd(parameters, lr, momentum=0.5, weight_decay=0.0):
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)

def smoothed(logits, labels, label_smoothing=0.2):
    return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)

def by_layer(parameters, lr, layer_decay=0.5):
    return torch.optim.SGD(parameters, lr=lr)
"""


def test_keys_of_the_recipe_are_arguments_of_a_users_parts(faces, recipe_of):
    """Oracle: torch's own loss and the values themselves. Keys of mien with the same name count where they changed."""
    settings = ["loss.name=Rated", "loss.rate=0.2", "loss.ends=[3,4]", "augment.name=brighter", "augment.by=0.25"]
    settings += ["optim.name=own_sgd", "optim.lr=0.3", "optim.weight_decay=0.01"]
    recipe = recipe_of(ARGUMENTS, [*settings, *(f"{table}.file=parts.py" for table in ("loss", "augment", "optim"))])
    plan = plan_training(recipe, faces)
    logits, labels = torch.randn(4, 7), torch.arange(4)
    assert plan.parts.label_loss(logits, labels) == functional.cross_entropy(logits, labels, label_smoothing=0.2)
    assert plan.parts.loss.ends == (3, 4)
    assert torch.equal(plan.parts.augment(torch.zeros(2)), torch.full((2,), 0.25))
    (group,) = plan.parts.optimizer([torch.zeros(1)]).param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.3, 0.5, 0.01)
    other = recipe_of(ARGUMENTS, ["loss.file=parts.py", "loss.name=Rated", "loss.rate=0.1"])
    assert completed(other).digest != completed(recipe_of(ARGUMENTS, ["loss.file=parts.py", "loss.name=Rated"])).digest
    assert check_recipe(tomllib.loads(dump_recipe(other)), "again").loss.arguments == {"rate": 0.1}


OWN = {"optim": "own_sgd", "augment": "brighter", "loss": "Rated"}
OPTIM, AUGMENT, LOSS = ([f"{table}.file=parts.py", f"{table}.name={name}"] for table, name in OWN.items())


@pytest.mark.parametrize(("base", "settings", "python", "ignored"), [
    ("quick", OPTIM, {}, {}),
    ("quick", [*OPTIM, "optim.momentum=0.8", "optim.nesterov=false", "optim.clip_norm=1", "tuning.layer_decay=0.5"], {},
     {"optimizer-own": "optim.nesterov, tuning.layer_decay"}),
    ("quick", [*AUGMENT, "augment.by=1", "augment.flip=false", "augment.blur=0.1", "augment.cutmix=0.1"], {},
     {"augment-own": "augment.blur"}),
    ("quick", [*LOSS, "label_smoothing=0.2", "balance.focal_gamma=1", "optim.lr=0.2"], {},
     {"loss-own": "label_smoothing, balance.focal_gamma"}),
    ("quick", [], {"optimizer": torch.optim.Adam, "augment": torch.clone, "loss": functional.cross_entropy}, {}),
    ("quick", ["optim.lr=0.2"], {"optimizer": torch.optim.Adam}, {"optimizer-own": "optim.lr"}),
    ("quick", ["optim.name=adamw"], {"optimizer": torch.optim.Adam}, {"optimizer-own": "optim.name"}),
    ("quick", ["name=exp1"], {"optimizer": torch.optim.Adam, "augment": torch.clone}, {}),
    ("quick", ["loss.file=parts.py", "loss.name=smoothed", "label_smoothing=0.3"], {}, {"loss-own": "label_smoothing"}),
    ("quick", ["optim.file=parts.py", "optim.name=by_layer", "tuning.layer_decay=0.7"], {},
     {"optimizer-own": "tuning.layer_decay"}),
    ("mine.toml", LOSS, {}, {"loss-own": "label_smoothing"}),
    ("teacher-vgg.toml", LOSS, {}, {"loss-own": "label_smoothing"}),
])  # fmt: skip
def test_training_notes_changed_keys_that_own_parts_ignore(faces, recipe_of, base, settings, python, ignored):
    """Oracle: the arguments of the functions above, and what quick has already."""
    recipe_of(ARGUMENTS, [])
    for mine in ("mine.toml", "teacher-vgg.toml"):
        Path(mine).write_text(Path("tiny.toml").read_text().replace('name = "tiny"\n', ""))
    recipe = load_recipe(base, settings)
    notices = TrainingJob(recipe).notices(plan_training(recipe, faces, Parts(**python)))
    expected = {code: f"your own {code[:-4]} ignores {keys}." for code, keys in ignored.items()}
    assert {each.code: each for each in notices if each.code.endswith("-own")} == expected


@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
def test_history_has_the_rate_of_the_users_optimizer(tmp_path, faces, tiny_recipe, schedule):
    """Oracle: the optimiser, asked after the epoch's last step."""
    seen = []

    class Asks(Callback):
        def on_train_begin(self, training):
            self.groups = training.optimizer.param_groups

        def on_epoch_end(self, metrics, is_best):
            seen.append((metrics["learning_rate"], self.groups[0]["lr"]))

    recipe = changed(tiny_recipe, schedule={"name": schedule, "warmup": 0.0})
    parts = Parts(optimizer=lambda parameters: torch.optim.NAdam(parameters, lr=0.002))
    trained(recipe, faces, tmp_path / "run", parts, callback=Asks())
    assert [recorded for recorded, _ in seen] == [own for _, own in seen]
    assert 0 < seen[-1][0] <= 0.002


def test_own_augmentation_replaces_the_recipes(faces, tiny_recipe):
    """Oracle: batches without augmentation, turned over by hand."""
    seen = []

    def turn(images):
        seen.append(images)
        return images.flip(2).double()  # as NumPy computes

    nothing = {"flip": False, "translate": 0, "random_erasing": 0}
    plain = prepare(plan_training(changed(tiny_recipe, augment=nothing), faces))
    own = prepare(plan_training(tiny_recipe, faces, Parts(augment=turn)))
    for ours, theirs in zip(recipe_batches(own, 1), recipe_batches(plain, 1), strict=True):
        assert torch.equal(ours.chosen, theirs.chosen)
        assert torch.allclose(ours.images, theirs.images.flip(2), atol=1e-5)
    assert all(each.min() >= 0 and each.max() <= 1 and each.max() > 0.5 for each in seen)


@pytest.mark.parametrize(("parts", "code", "value"), [
    ({"loss": lambda logits, labels: logits.mean(1)}, "own-part", "(32,)"),
    ({"loss": lambda logits, labels: 1.0}, "own-part", "float"),
    ({"loss": lambda logits, labels: logits.detach().mean()}, "own-part", "lambda"),
    ({"augment": lambda images: images[:, :, 1:]}, "own-part", "(32, 1, 43, 44)"),
    ({"augment": lambda images: images / 0}, "own-part", "finite"),
    ({"augment": lambda images: 255 * images}, "own-part", "up to 2"),
    ({"optimizer": lambda parameters: None}, "own-part", "NoneType"),
    ({"optimizer": lambda _: torch.optim.SGD([torch.zeros(1)])}, "own-part", "SGD"),
    ({"loss": lambda logits, labels: functional.mse_loss(logits, labels[:3])}, "own-part", "lambda"),
    ({"augment": lambda images: images @ images[0, 0, :3]}, "own-part", "lambda"),
    ({"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=-1)}, "own-part", "lambda"),
    ({"optimizer": torch.optim.LBFGS}, "own-part", "closure"),
])  # fmt: skip
def test_train_refuses_parts_that_cannot_be_used(tmp_path, faces, tiny_recipe, parts, code, value):
    with raises(TrainingError, code, value):
        train_and_export(tiny_recipe, faces, out=tmp_path / "run", verbose=0, **parts)
    assert not (tmp_path / "run").exists()


def test_own_modules_move_to_the_networks_device(faces, tiny_recipe, monkeypatch):
    """Oracle: what they are told; a GPU's logits and a CPU's weights give no loss."""
    moved, parts = [], Parts(loss=nn.CrossEntropyLoss(torch.ones(7)), augment=nn.Identity())
    for part in (parts.loss, parts.augment):
        monkeypatch.setattr(part, "to", moved.append)
    assert [prepare(plan_training(tiny_recipe, faces, parts)).fabric.device] * 2 == moved
    logits, labels = torch.full((2, 7), torch.nan), torch.zeros(2, dtype=torch.long)
    assert Parts(loss=lambda logits, _: 1 / 0).label_loss(logits, labels).isnan()


class FromPython(nn.Module):
    act = functional.relu

    def __init__(self, classes=7, width=4):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 5, 4)
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        return self.head(F.relu(self.conv(images)).mean((2, 3)))  # noqa: F821 - what a notebook has imported


class Beside(FromPython):
    __module__ = "__main__"

    def __init__(self, classes):
        super().__init__(len(PARTS))


def unchanged(images):
    return images


def test_train_takes_a_network_class_or_instance(tmp_path, faces, tiny_recipe_text, monkeypatch):
    """A class of a notebook is kept by its source; an instance's weights are the first ones."""
    (tmp_path / "tiny.toml").write_text(tiny_recipe_text)
    monkeypatch.setattr(FromPython, "__module__", "__main__")
    monkeypatch.setitem(globals(), "F", functional)
    given = {"verbose": 0, "epochs": 1, "out": tmp_path / "run", "augment": unchanged}
    result = train_and_export(tmp_path / "tiny.toml", faces, network=FromPython, settings={"model.width": 8}, **given)
    assert result.recipe.model.settings["width"] == 8
    assert result.recipe.augment.flip
    assert not result.model.manifest.mirrored
    assert "class FromPython" in (tmp_path / "run" / "FromPython.py").read_text()
    torch.manual_seed(5)
    instance, frozen = FromPython(), {"settings": {"optim.lr": 1e-20, "ema_decay": 0.0}}
    train_and_export(tmp_path / "tiny.toml", faces, network=instance, **{**given, "out": tmp_path / "i"}, **frozen)
    network = package.load_network(tmp_path / "i")
    assert type(network).__name__ == "FromPython"
    assert same(network.state_dict(), instance.state_dict())
    weights = kept(RunFolder(tmp_path / "i"))
    assert torch.equal(weights["head.weight"], instance.head.weight)
    assert torch.equal(weights["body.conv.weight"], instance.conv.weight)
    assert json.loads((tmp_path / "i" / "environment.json").read_text())["not_of_the_recipe"]["weights"]
    for network, words in (
        (FromPython(width=5), "[7, 5]"),
        (FromPython(classes=3), "[3]"),
        (nn.Linear, "of torch"),
        (Beside, ".py file"),
        (3, "int"),
    ):
        with raises(RecipeError, "model-file", words):
            train_and_export(tmp_path / "tiny.toml", faces, network=network, **{**given, "out": tmp_path / "no"})
    assert not (tmp_path / "no").exists()
