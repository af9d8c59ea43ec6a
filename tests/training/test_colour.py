"""A model of colour images at another size than 48 px: from files to a gradient step, from a photo to a prediction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mien.base.errors import DataError, ModelError
from mien.base.model_file import read_manifest
from mien.base.preprocess import InputSpec, face_square, grey_square, grey_stack, in_pixels, normalise, to_input
from mien.base.recipe import Recipe
from mien.base.recipe_tables import AugmentRecipe, ModelRecipe
from mien.base.run_folder import RunFolder
from mien.data.read import ReadOptions, load_dataset, read_data
from mien.data.synthetic import synthetic_faces, write_class_folders
from mien.evaluation.robustness import CORRUPTIONS
from mien.explanation.explainer import METHODS, Explainer, overlay
from mien.explanation.gradient import load_torch_model
from mien.exporting.to_onnx import export_run
from mien.inference.onnx_classifier import mean_over_views
from mien.inference.predictor import load
from mien.models.registry import MODELS, build_model
from mien.serve.built_page import page_files, service_models
from mien.training.batches import as_shown, augment
from mien.training.loop import train
from mien.training.plan import plan_training
from support import corrupt, raises

SIDE, CROP = 56, 52
SPEC = InputSpec(size_px=SIDE, crop_px=CROP, channels=3, mean=(0.5, 0.45, 0.4), std=(0.25, 0.24, 0.23))


@pytest.fixture(scope="module")
def colour_faces():
    return synthetic_faces(84, 3, SIDE, 3)


@pytest.fixture(scope="module")
def colour_recipe(tiny_run):
    everything = AugmentRecipe(
        flip=True, translate=0.1, rotation_degrees=9, scale=0.1, brightness=0.1, contrast=0.1, random_erasing=0.5,
        blur=0.5, noise=0.5, low_resolution=0.5, mixup=0.2, cutmix=0.2,
    )  # fmt: skip
    sizes = {"input": SPEC, "augment": everything, "epochs": 1, "progressive_resizing": ((0.5, 40),)}
    return tiny_run.read_recipe().model_copy(update=sizes)


@pytest.fixture(scope="module")
def colour_run(tmp_path_factory, colour_faces, colour_recipe):
    run = RunFolder(tmp_path_factory.mktemp("colour") / "run")
    train(plan_training(colour_recipe, colour_faces), run, device="cpu")
    export_run(run).write(run.model)
    return run


def test_colour_model_file_equals_torch(colour_run, colour_faces, monkeypatch):
    """Oracle: torch, by way of another code path than the exported file's."""
    assert read_manifest(colour_run.model).input == SPEC
    model, expected = load(colour_run.path), load_torch_model(colour_run, 1.0).predict(colour_faces.images[:8])
    assert np.abs(model.probabilities(colour_faces.images[:8], 1.0) - expected).max() < 1e-4
    swapped = np.ascontiguousarray(colour_faces.images[:8, :, :, ::-1])
    assert np.abs(model.probabilities(swapped) - model.probabilities(colour_faces.images[:8])).max() > 1e-4
    assert np.allclose(mean_over_views(model.probabilities, colour_faces.images[:3], 10).sum(axis=1), 1)
    with raises(DataError, "image-type", "56, 56, 3"):
        model.probabilities(grey_stack(colour_faces.images[:2]))
    with raises(ModelError, "page-grey-only"):
        page_files([colour_run.model])
    monkeypatch.setattr("mien.serve.built_page.find_model", lambda name: Path(name))
    assert service_models(colour_run.model, guarded=False)[0] == Path("default")


def test_colour_model_predicts_colour_and_grey_photos(colour_run, colour_faces):
    model, face = load(colour_run.path), colour_faces.images[5]
    (ours,) = model.predict_crops(Image.fromarray(face))
    assert np.allclose(list(ours.probabilities.values()), model.probabilities(face[None])[0])
    assert np.array_equal(ours.crop, face)
    grey = Image.fromarray(face).convert("L")
    repeated = np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)
    assert np.allclose(model.predict_crops(grey)[0].probability_vector, model.probabilities(repeated[None])[0])
    network, images = load_torch_model(colour_run, 1.0), colour_faces.images[:2]
    for name in METHODS:
        if name == "gradcam":
            continue  # the tiny network has maps of its own; its other tests cover it
        face_map = Explainer(network.predict, network.spec.crop_px, network).attribute(images, method=name)
        assert face_map.shape == (2, SIDE, SIDE), name
        assert np.abs(face_map).max() > 0
    assert overlay(images[0], np.zeros((SIDE, SIDE)), 1).tolist() == images[0].tolist()


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"timm"}))
def test_every_network_takes_three_channels(name):
    settings = {"width": 2} if name.startswith(("vgg", "resnet", "joined")) else {}
    network = build_model(ModelRecipe.model_validate({"name": name, **settings}), 5, 64, 3).eval()
    image = torch.rand(1, 3, 64, 64)
    assert not torch.equal(network(image), network(image.flip(1))), "channels are told apart"


def test_augment_treats_channels_like_grey_images():
    """Oracle: an image with three equal channels stays grey, and is what the grey image becomes; but for noise."""
    recipe = AugmentRecipe(
        flip=True, translate=0.1, rotation_degrees=9, scale=0.1, brightness=0.1, contrast=0.3, blur=0.5,
        low_resolution=0.5, random_erasing=0.5,
    )  # fmt: skip
    grey = torch.randint(0, 256, (6, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    mirrored = torch.tensor([True, False] * 3)

    def shown(images, channels):
        spec = InputSpec(crop_px=44, channels=channels)
        return augment(images, recipe, spec, torch.Generator().manual_seed(2), mirrored=mirrored, side_px=40)

    expected, found = shown(grey, 1), shown(grey[..., None].expand(-1, -1, -1, 3).contiguous(), 3)
    assert found.shape == (6, 3, 40, 40)
    for channel in range(3):
        assert torch.allclose(found[:, channel : channel + 1], expected, atol=1e-5)


def test_colour_squares_equal_grey_ones_and_are_normalised_per_channel(colour_faces):
    """Oracle: Pillow's luma of the colour square, which resizing leaves within rounding."""
    wide = np.ascontiguousarray(colour_faces.images[0][:40])
    for size_px in (24, SIDE, 80):
        square = face_square(wide, size_px, 3)
        assert square.shape == (size_px, size_px, 3)
        luma = np.asarray(Image.fromarray(square).convert("L"))
        assert np.array_equal(grey_stack(square[None])[0], luma)
        assert np.abs(luma.astype(int) - grey_square(wide, size_px)).max() <= 2
    # Oracle: the formula, written out for one pixel of each channel; and what it undoes.
    inputs = to_input(colour_faces.images[:2], SPEC)
    assert inputs.shape == (2, 3, CROP, CROP)
    for channel, (mean, std) in enumerate(zip(SPEC.mean, SPEC.std, strict=True)):
        pixel = float(colour_faces.images[1, 2 + 7, 2 + 9, channel])
        assert inputs[1, channel, 7, 9] == pytest.approx((pixel / 255 - mean) / std, abs=1e-5)
    middle = colour_faces.images[:2, 2:-2, 2:-2]
    assert np.array_equal(in_pixels(inputs, SPEC), middle)
    assert np.allclose(normalise(torch.from_numpy(middle).permute(0, 3, 1, 2).float(), SPEC).numpy(), inputs, atol=1e-6)
    assert np.array_equal(as_shown(colour_faces.images[:2], Recipe(input=SPEC)), middle)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_of_colour_equals_grey_per_channel(name, colour_faces):
    """Oracle: the corrupted grey image, for an image with three equal channels; JPEG and noise alone know of colour."""
    grey = grey_stack(colour_faces.images[:4])
    found = corrupt(np.repeat(grey[..., None], 3, axis=3), name, 3)
    if name == "gaussian-noise":
        assert (found[..., 0] != found[..., 1]).any()
    else:
        assert np.abs(found.astype(int) - corrupt(grey, name, 3)[..., None]).max() <= (2 if name == "jpeg" else 0)


def test_colour_reading_keeps_fingerprint_and_splits(tmp_path, colour_faces):
    write_class_folders(colour_faces, tmp_path / "drawn")
    grey, colour = (load_dataset(tmp_path / "drawn", size_px=SIDE, channels=channels) for channels in (1, 3))
    assert colour.images.shape == (84, SIDE, SIDE, 3)
    assert {each.tobytes() for each in colour.images} == {each.tobytes() for each in colour_faces.images}
    assert np.array_equal(grey.images, grey_stack(colour.images))
    assert colour.fingerprint == grey.fingerprint == load_dataset(tmp_path / "drawn").fingerprint
    assert np.array_equal(colour.split, grey.split)
    again = load_dataset(tmp_path / "drawn", size_px=SIDE, channels=3)
    assert isinstance(again.images, np.memmap)
    assert np.array_equal(again.images, colour.images)


def test_colour_recipe_refuses_grey_arrays(tmp_path, colour_faces, colour_recipe):
    drawn = tmp_path / "drawn"
    write_class_folders(colour_faces, drawn)
    files = sorted(drawn.glob("train/*/*.png"))
    with Image.open(files[3]) as image:
        image.convert("L").save(files[3])
    assert "images-mixed" in [note.code for note in read_data(drawn, ReadOptions(channels=3)).notes], "one among others"
    assert len(load_dataset(drawn)) == 84, "in grey all are read"
    for file in drawn.glob("*/*/*.png"):
        with Image.open(file) as image:
            image.convert("L").convert("RGB").save(file)
    with raises(DataError, "image-size", "images in colour", "recipe with input.channels = 1"):
        load_dataset(drawn, channels=3)
    with raises(DataError, "image-size"):
        type(colour_faces).from_arrays(grey_stack(colour_faces.images), ["a", "b"] * 42, channels=3)
    with raises(DataError, "image-size", "channels=3"):
        plan_training(colour_recipe, replace(colour_faces, images=grey_stack(colour_faces.images)))


def test_estimator_takes_rgb():
    pytest.importorskip("sklearn")
    from mien.sklearn import ExpressionClassifier, _flat

    images = np.arange(2 * 5 * 5 * 3, dtype=np.uint8).reshape(2, 5, 5, 3)
    assert np.array_equal(ExpressionClassifier()._pixels(*_flat(images), 3), images)
    tall = images.reshape(2, 3, 5, 5)[:, :, :, :3]
    assert np.array_equal(ExpressionClassifier()._pixels(*_flat(tall), 3), tall)
