import numpy as np
import pytest

from mien.base.preprocess import InputSpec, to_input
from mien.inference.onnx_classifier import VIEWS, augmented_views, mean_over_views
from mien.inference.predictor import load


def test_ten_views_are_the_centre_and_the_four_corners_and_their_mirror_images():
    """Oracle: the corners cut out of the 48 px face itself; a crop of 44 px sees nothing beyond its border."""
    spec = InputSpec(size_px=48, crop_px=44, mean=0.0, std=1.0)
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    seen = [to_input(view, spec)[:, 0] * 255 for view in augmented_views(images, 10)]
    corners = [(2, 2), (0, 0), (0, 4), (4, 0), (4, 4)]
    for number, (top, left) in enumerate(corners):
        cut = images[:, top : top + 44, left : left + 44]
        assert seen[2 * number] == pytest.approx(cut, abs=1e-3)
        assert seen[2 * number + 1] == pytest.approx(cut[:, :, ::-1], abs=1e-3)


def test_fewer_views_are_the_first_of_ten():
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    ten = list(augmented_views(images, 10))
    assert [len(list(augmented_views(images, views))) for views in VIEWS] == [1, 2, 5, 10]
    assert all(map(np.array_equal, augmented_views(images, 5), ten[::2]))
    for views in (1, 2):
        for one, other in zip(augmented_views(images, views), ten, strict=False):
            assert np.array_equal(one, other)
    assert np.array_equal(ten[0], images)
    # The border's pixels repeat where a view looks beyond it.
    assert np.array_equal(ten[2][:, 0], np.concatenate([images[:, 0, :1], images[:, 0, :-1]], axis=1))


def test_probabilities_are_the_mean_over_the_views(tiny_run, faces):
    """Oracle: each view asked by itself."""
    model = load(tiny_run.path)
    images = np.asarray(faces.images[:70])
    for views in VIEWS:
        alone = [model.probabilities(np.ascontiguousarray(view), 1.5) for view in augmented_views(images, views)]
        found = mean_over_views(lambda shown: model.probabilities(shown, 1.5), images, views)
        assert found == pytest.approx(np.mean(alone, axis=0), abs=1e-6)
    assert mean_over_views(model.probabilities, images[:0], 10).shape == (0, 7)
