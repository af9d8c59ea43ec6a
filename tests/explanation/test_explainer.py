import numpy as np
import pytest

from mien.base.errors import DataError
from mien.explanation.explainer import METHODS, Explainer, mean_maps
from support import raises


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_finite_reproducible_and_inside_the_crop(method, explainer, faces):
    images = np.asarray(faces.images[:3])
    maps = explainer.attribute(images, method=method)
    assert (maps.dtype, maps.shape) == (np.float32, images.shape)
    assert np.isfinite(maps).all()
    assert maps.any()
    assert np.array_equal(maps, explainer.attribute(images, method=method))
    outside = np.ones((48, 48), dtype=bool)
    outside[2:46, 2:46] = False
    assert not maps[:, outside].any(), "the network sees the central 44 px only"
    assert explainer.attribute(images[:0], method=method).shape == (0, 48, 48)


@pytest.mark.parametrize("method", METHODS)
def test_attribute_explains_the_predicted_class_unless_another_is_given(method, explainer, faces):
    images = np.asarray(faces.images[:2])
    predicted = explainer.predict(images).argmax(axis=1)
    maps = explainer.attribute(images, method=method)
    assert maps == pytest.approx(explainer.attribute(images, predicted, method=method), abs=1e-7)
    other = explainer.attribute(images, (predicted + 1) % 7, method=method)
    assert not np.allclose(maps, other, rtol=1e-3, atol=0)


def test_occlusion_needs_no_network(explainer, faces):
    images = np.asarray(faces.images[:2])
    without = Explainer(explainer.predict, 44)
    assert without.methods == ["occlusion"]
    assert explainer.methods == list(METHODS)
    assert np.array_equal(without.attribute(images), explainer.attribute(images, method="occlusion"))
    with raises(DataError, "method-unknown", "'gradcam'"):
        explainer.attribute(images, method="grad-cam")


def test_mean_maps_weigh_each_face_equally():
    """Oracle: by hand; the second map is a tenth of the first."""
    maps = np.array([[[1, 0], [0, 0]], [[0, 0.1], [0, 0]], [[0, 0], [0, 0]]], dtype=np.float32)
    found = mean_maps(maps, [4, 4, 2])
    assert found[4].tolist() == [[0.5, 0.5], [0, 0]]
    assert not found[2].any()
