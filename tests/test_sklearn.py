"""The scikit-learn estimator: scikit-learn's own checks, and mien.load as the oracle of its probabilities."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

import mien
from mien.base.errors import DataError, RecipeError
from mien.base.preprocess import face_square
from mien.base.recipe import load_recipe
from mien.sklearn import ExpressionClassifier, PixelError, _flat
from support import raises

DARK = "its features, 0..5, are nearly black as pixels"
ENDS_AT_1 = "its features are 0..1, which as pixels are black: refused with advice"
SAME = "its features, rounded to pixels, are fewer than two different images of a class: nothing to validate on"
NOT_APPLYING = {
    "check_classifiers_train": DARK, "check_classifiers_one_label": ENDS_AT_1, "check_dtype_object": ENDS_AT_1,
    "check_estimators_nan_inf": ENDS_AT_1, "check_fit_score_takes_y": ENDS_AT_1, "check_supervised_y_2d": ENDS_AT_1,
    "check_estimators_pickle": SAME, "check_pipeline_consistency": SAME,
}  # fmt: skip


@pytest.fixture(scope="module")
def fitted(faces, tmp_path_factory, tiny_recipe_text):
    file = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    file.write_text(tiny_recipe_text)
    return ExpressionClassifier(str(file), device="cpu").fit(faces.images, np.array(faces.classes)[faces.labels])


@pytest.mark.slow
def test_estimator_passes_scikit_learns_checks():
    """Oracle: check_estimator. Its data are no images: as pixels of a row they do where they are varied enough."""
    settings = {"epochs": 2, "batch_size": 32, "precision": "fp32", "progressive_resizing": []}
    settings |= {"input.size_px": 16, "input.crop_px": 16}
    settings |= {"model.stem_width": 4, "model.widths": [4], "model.convolutions": [1]}
    estimator = ExpressionClassifier("short", settings=settings, image_shape=(1, -1), device="cpu")
    results = check_estimator(estimator, expected_failed_checks=NOT_APPLYING, on_skip=None)
    assert {each["check_name"] for each in results if each["status"] == "xfail"} == set(NOT_APPLYING)
    assert sum(each["status"] == "passed" for each in results) >= 40


def test_saved_estimator_predicts_the_same(fitted, faces, tmp_path):
    with raises(DataError, "out-path", "model.pkl"):
        fitted.save(tmp_path / "model.pkl")
    model = mien.load(fitted.save(tmp_path / "model.onnx"))
    expected, order = model.probabilities(faces.images), [model.classes.index(name) for name in fitted.classes_]
    np.testing.assert_array_equal(fitted.predict_proba(faces.images), expected[:, order])
    assert (fitted.classes_.tolist(), len(fitted.history_)) == (sorted(faces.classes), 2)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(faces.images), fitted.predict_proba(faces.images))
    with pytest.raises(NotFittedError):
        clone(fitted).predict(faces.images)
    # As fit does. Oracle: the classes of the same faces as fit saw them.
    for ask in (fitted.predict, fitted.predict_proba, lambda images: fitted.score(images, faces.labels)):
        with raises(PixelError, "pixels"):
            ask(faces.images / 255)
    assert (fitted.predict(faces.images.astype(np.float32)) == fitted.predict(faces.images)).all()


def test_estimator_takes_flat_images_of_any_type(fitted, faces):
    expected, flat = fitted.predict_proba(faces.images[:20]), faces.images[:20].reshape(20, -1)
    for same in (flat, flat.tolist(), list(faces.images[:20]), flat.astype(np.float32), np.clip(flat + 0.2, 0, 255)):
        np.testing.assert_array_equal(fitted.predict_proba(same), expected)
    labels = fitted.predict(flat)
    assert (fitted.score(flat, labels), accuracy_score(fitted.classes_[expected.argmax(1)], labels)) == (1, 1)


def test_estimator_keeps_the_shape_of_stacks(fitted, faces):
    """These images have as many pixels as a square. Oracle: mien's own squares of them."""
    wide = np.ascontiguousarray(faces.images.repeat(2, 2)[:20, 6:42, 16:80])
    expected = fitted.predict_proba(np.stack([face_square(image, 48) for image in wide]))
    np.testing.assert_array_equal(fitted.predict_proba(wide), expected)
    np.testing.assert_array_equal(fitted.predict_proba(wide[:, None]), expected)
    small = ExpressionClassifier(fitted.recipe, settings={"epochs": 1}).fit(wide, [*"ab"] * 10)
    np.testing.assert_array_equal(small.predict_proba(wide.reshape(20, -1)), small.predict_proba(wide))
    assert np.array_equal(clone(fitted).set_params(image_shape=(36, 64))._pixels(*_flat(wide.reshape(20, -1)), 1), wide)


def test_estimator_keeps_label_type_and_repeats(recipe_file, faces, fitted):
    """Oracle: the fitted one, whose labels are the names of these numbers."""
    numbers = 10 * np.searchsorted(fitted.classes_, np.array(faces.classes))[faces.labels]
    again = ExpressionClassifier(str(recipe_file), random_state=0, device="cpu").fit(faces.images, numbers)
    assert set(again.predict(faces.images)) <= set(numbers.tolist())
    # One predicts by its model file, the other by its network.
    np.testing.assert_allclose(again.predict_proba(faces.images), fitted.predict_proba(faces.images), atol=1e-6)
    seeds = (np.random.RandomState(5), np.random.RandomState(5).randint(2**31 - 1), 0)
    own = load_recipe(recipe_file)
    one, same, other = (ExpressionClassifier(own, random_state=s).fit(faces.images, numbers).history_ for s in seeds)
    assert one[0]["train_loss"] == same[0]["train_loss"] != other[0]["train_loss"]


@pytest.mark.parametrize("given", [{}, {"init_from": "tiny"}])
def test_estimator_fits_a_head_on_a_trained_network(faces, tmp_path, given, monkeypatch):
    """Oracles: the features of the built-in model, and the estimator before it is saved. torch exports nothing."""
    monkeypatch.setattr(torch.onnx, "export", None)
    images = faces.images[::3]
    estimator = ExpressionClassifier("head", device="cpu", **given).fit(images, faces.labels[::3])
    answers, fitted = estimator.predict_proba(images), mien.load(estimator.save(tmp_path / "m.onnx"))
    assert fitted.features(images) == pytest.approx(mien.load(*given.values()).features(images), abs=0.02)
    np.testing.assert_allclose(fitted.probabilities(images), answers, atol=1e-5)


def test_cross_validation_exports_nothing(recipe_file, faces, monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", None)
    estimator = ExpressionClassifier(str(recipe_file), settings={"epochs": 1})
    scores = cross_val_score(estimator, faces.images, faces.labels, cv=2, error_score="raise")
    assert (scores >= 0).tolist() == [True, True]


def test_fit_refuses_bad_data_as_value_error(recipe_file, faces):
    estimator, labels = ExpressionClassifier(str(recipe_file)), faces.labels
    flat = faces.images.reshape(len(faces), -1).astype(float)
    for wrong, code in ((flat - 1, "pixels"), (2 * flat, "pixels"), (flat / 255, "pixels")):
        with raises(PixelError, code):
            estimator.fit(wrong, labels)
    with raises(PixelError, "image-type"):
        estimator.fit(flat[:, :-1], labels)
    for shape in (48, np.array([48, 47])):
        with raises(PixelError, "image-type"):
            clone(estimator).set_params(image_shape=shape).fit(flat, labels)
    with raises(PixelError, "image-type", "(N, H, W, 3)", "(4, 3, 48, 48)"):
        estimator.fit(np.full((4, 3, 48, 48), 9, np.uint8), labels[:4])
    with raises(PixelError, "image-type", "(48, 48)", "(36, 64)"):
        clone(estimator).set_params(image_shape=(36, 64)).fit(faces.images, labels)
    with raises(PixelError, "split-missing", "two"):
        estimator.fit(faces.images[:2], ["a", "b"])
    with pytest.raises(ValueError, match="0 sample"):
        estimator.fit(faces.images[:0], labels[:0])
    with raises(PixelError, "too-few-classes"):
        estimator.fit(flat, np.zeros_like(labels))
    for wrong, target in ((flat * np.nan, labels), (flat, labels[:-1]), (flat, flat[:, :2])):
        with pytest.raises(ValueError):
            estimator.fit(wrong, target)
    with raises(RecipeError, "recipe-value"):
        estimator.set_params(settings={"epoch": 1}).fit(faces.images, labels)


@pytest.mark.parametrize("scheme", ["binary", "seven"])
def test_fit_refuses_a_label_scheme(recipe_file, faces, scheme):
    """Of ``seven`` the columns would be the same classes in Kaggle's order: every answer would be another label."""
    labels = np.array(faces.classes)[faces.labels]
    with raises(RecipeError, "label-scheme", scheme):
        ExpressionClassifier(str(recipe_file), settings={"classes": scheme}).fit(faces.images, labels)
