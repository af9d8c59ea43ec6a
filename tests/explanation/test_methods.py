import numpy as np
import pytest

from mien.base.errors import DataError
from mien.explanation.methods import METHODS, explain
from support import raises


@pytest.mark.parametrize("name", METHODS)
def test_maps_are_finite_the_same_again_and_lie_on_the_stored_face(name, tiny_model, faces):
    images = np.asarray(faces.images[:3])
    maps = explain(name, images, model=tiny_model)
    assert (maps.dtype, maps.shape) == (np.float32, images.shape)
    assert np.isfinite(maps).all()
    assert maps.any()
    assert np.array_equal(maps, explain(name, images, model=tiny_model))
    outside = np.ones((48, 48), dtype=bool)
    outside[2:46, 2:46] = False
    assert not maps[:, outside].any(), "the network sees the central 44 px only"
    assert explain(name, images[:0], model=tiny_model).shape == (0, 48, 48)


@pytest.mark.parametrize("name", METHODS)
def test_the_predicted_class_is_explained_unless_another_is_given(name, tiny_model, faces):
    images = np.asarray(faces.images[:2])
    predicted = tiny_model.predict(images).argmax(axis=1)
    maps = explain(name, images, model=tiny_model)
    assert maps == pytest.approx(explain(name, images, predicted, model=tiny_model), abs=1e-7)
    assert not np.allclose(maps, explain(name, images, (predicted + 1) % 7, model=tiny_model), rtol=1e-3, atol=0)


def test_occlusion_needs_only_answers(tiny_model, faces):
    images = np.asarray(faces.images[:2])
    maps = explain("occlusion", images, predict=tiny_model.predict, crop_px=44)
    assert np.array_equal(maps, explain("occlusion", images, model=tiny_model))
    with raises(DataError, "method-unknown"):
        explain("grad-cam", images, model=tiny_model)
