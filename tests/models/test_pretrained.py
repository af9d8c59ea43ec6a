import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from mien.base.errors import ModelError, RecipeError
from mien.base.model_file import read_manifest
from mien.base.recipe_tables import ModelRecipe
from mien.base.run_folder import RunFolder
from mien.exporting.to_onnx import export_run
from mien.models.registry import build_model
from mien.training import checkpoint
from mien.training.loop import train
from mien.training.plan import plan_training
from support import raises

# timm's own miniatures of its families, each made for 160 px.
MINIATURES = ("test_resnet", "test_efficientnet", "test_convnext", "test_byobnet", "test_vit")


def network_of(backbone="test_resnet", size_px=48, **settings):
    torch.manual_seed(1)
    return build_model(ModelRecipe.model_validate({"name": "timm", "backbone": backbone, **settings}), 7, size_px)


def trained(timm, backbone, seed=2, **settings):
    """The colour network of timm, with running statistics as training leaves them: not 0 and 1."""
    torch.manual_seed(seed)
    network = timm.create_model(backbone, **settings).eval()
    for name, value in network.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            value.copy_(torch.rand_like(value) + 0.5)
    return network


def saved(network, path):
    safetensors.torch.save_file(network.state_dict(), path)
    return path


@pytest.fixture
def weights(timm, tmp_path):
    return saved(trained(timm, "test_resnet"), tmp_path / "weights.safetensors")


@pytest.mark.parametrize("backbone", MINIATURES)
@pytest.mark.parametrize("classes", [1000, 3, 0], ids=["ImageNet's head", "another head", "no head"])
def test_pretrained_grey_features_equal_timms_of_three_equal_channels(timm, tmp_path, backbone, classes):
    """Oracle: timm's colour network on (x, x, x), before its classifier."""
    theirs = trained(timm, backbone, num_classes=classes)
    file = saved(theirs, tmp_path / "w.safetensors")
    network, grey = network_of(backbone, size_px=160, weights=str(file)).eval(), torch.randn(3, 1, 160, 160)
    with torch.inference_mode():
        expected = theirs.forward_head(theirs.forward_features(grey.expand(-1, 3, -1, -1)), pre_logits=True)
        before = network.features(grey)
        assert network.load_pretrained() == file
        after = network.features(grey)
    assert after.numpy() == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-4)
    assert before.numpy() != pytest.approx(expected.numpy(), rel=1e-2, abs=1e-2)
    assert network.head.in_features == expected.shape[1]


def test_upsampling_is_bilinear(timm, weights, tmp_path):
    """Oracle: Pillow's resize, and the same network on what that gives."""
    images = torch.randn(2, 1, 48, 48)
    faces = [Image.fromarray(image[0].numpy()) for image in images]
    larger = np.stack([face.resize((96, 96), Image.Resampling.BILINEAR) for face in faces])
    inside, outside = network_of(upsample_px=96).eval(), network_of(size_px=96).eval()
    with torch.inference_mode():
        expected = outside.features(torch.from_numpy(larger)[:, None]).numpy()
        assert inside.features(images).numpy() == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert inside.features(images).numpy() != pytest.approx(network_of().eval().features(images).numpy(), rel=1e-2)
    # A finished run is exported and explained where neither the file nor a network is at hand.
    assert network_of(weights=str(tmp_path / "none.safetensors")).head.out_features == 7
    random = network_of(pretrained=False)
    before = {name: value.clone() for name, value in random.state_dict().items()}
    assert random.load_pretrained() is None
    assert all(torch.equal(value, before[name]) for name, value in random.state_dict().items())
    assert "apache-2.0" in network_of().licence
    assert "not known" in network_of(weights="x.safetensors").licence
    assert network_of(pretrained=False).licence == "MIT"


def test_train_refuses_a_network_file_that_cannot_be_used(timm, tmp_path, weights):
    content = weights.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    saved(trained(timm, "test_efficientnet"), tmp_path / "other.safetensors")
    torch.save(trained(timm, "test_resnet").state_dict(), tmp_path / "pickled.pth")
    for name in ("none.safetensors", "cut.safetensors", "empty.safetensors", "other.safetensors", "pickled.pth"):
        with raises(ModelError, "weights-unreadable", name):
            network_of(weights=str(tmp_path / name)).load_pretrained()


@pytest.mark.parametrize("spoil", ["missing", "extra", "shape"])
@pytest.mark.parametrize("classes", [1000, 3, 0])
def test_load_pretrained_refuses_a_partial_match(timm, tmp_path, spoil, classes):
    """Left to itself, timm would skip what does not fit, and leave those layers random."""
    tensors = trained(timm, "test_resnet", num_classes=classes).state_dict()
    if spoil == "missing":
        del tensors["layer1.0.conv1.weight"]
    elif spoil == "extra":
        tensors["layer9.weight"] = torch.zeros(3)
    else:
        tensors["layer1.0.conv1.weight"] = torch.zeros(3, 3)
    safetensors.torch.save_file(tensors, tmp_path / "w.safetensors")
    with raises(ModelError, "weights-unreadable"):
        network_of(weights=str(tmp_path / "w.safetensors")).load_pretrained()


def test_cached_weights_need_no_connection(timm, tmp_path, weights, monkeypatch):
    """The cache as the hub's own client lays it out."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / ("models--" + timm.get_pretrained_cfg("test_resnet").hf_hub_id.replace("/", "--"))
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("a" * 40)
    file = folder / "snapshots" / ("a" * 40) / "model.safetensors"
    file.parent.mkdir(parents=True)
    shutil.copy(weights, file)
    here, there = network_of(), network_of(weights=str(weights))
    assert here.load_pretrained() == file
    there.load_pretrained()
    assert all(torch.equal(value, there.state_dict()[name]) for name, value in here.state_dict().items())


@pytest.mark.parametrize(("backbone", "code", "value"), [
    ("resnet81", "model-setting", "Close: resnet"),
    ("hf-hub:someone/something", "model-setting", "'hf-hub:someone/something'"),
    ("resnet18.nonsense", "model-setting", "Close: resnet18."),
    ("test_vit3", "model-setting", "model.upsample_px = 160"),
])  # fmt: skip
def test_building_refuses_unknown_backbones(timm, backbone, code, value):
    with raises(RecipeError, code, value):
        network_of(backbone)


def test_run_needs_its_weights_file_only_at_the_start(timm, tmp_path, faces, tiny_recipe, weights):
    """Oracle: a frozen epoch leaves the file's weights in the run, bit for bit, first layer folded."""
    model = {"name": "timm", "backbone": "test_resnet", "weights": str(weights)}
    content = {**tiny_recipe.model_dump(), "epochs": 1, "model": model, "tuning": {"frozen_epochs": 1}}
    recipe, run = type(tiny_recipe).model_validate(content), RunFolder(tmp_path / "run")
    train(plan_training(recipe, faces), run)
    assert run.read_environment()["started_from"] == f"sha256:{hashlib.sha256(weights.read_bytes()).hexdigest()}"
    theirs, (ours, _) = safetensors.torch.load_file(weights), checkpoint.load(run.best)
    assert torch.equal(ours["backbone.layer2.0.conv1.weight"], theirs["layer2.0.conv1.weight"])
    assert torch.equal(ours["backbone.bn1.running_var"], theirs["bn1.running_var"])
    weights.unlink()
    export_run(run).write(run.model)
    manifest = read_manifest(run.model)
    assert manifest.recipe["model"]["weights"] == weights.name, "no folder of this machine travels in the file"
    assert manifest.licence == "that of the pretrained weights: not known"
    assert str(Path(weights).parent).encode() not in run.model.read_bytes()
    train(plan_training(recipe, faces), run, resume=True)
    with raises(ModelError, "weights-unreadable"):
        train(plan_training(recipe, faces), RunFolder(tmp_path / "again"))
    assert not (tmp_path / "again").exists()
