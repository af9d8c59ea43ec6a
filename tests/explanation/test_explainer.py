import numpy as np
import pytest

from mien.base.errors import DataError
from mien.explanation.explainer import (
    METHODS,
    Explainer,
    area,
    colour,
    mean_maps,
    measure_faithfulness,
    occlusion,
    overlay,
    patch_masks,
    pixel_ranks,
    removal_curves,
)
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
    predicted, maps = explainer.predict(images).argmax(axis=1), explainer.attribute(images, method=method)
    assert maps == pytest.approx(explainer.attribute(images, predicted, method=method), abs=1e-7)
    assert not np.allclose(maps, explainer.attribute(images, (predicted + 1) % 7, method=method), rtol=1e-3, atol=0)


def test_occlusion_needs_no_network(explainer, faces):
    images, without = np.asarray(faces.images[:2]), Explainer(explainer.predict, 44)
    assert (without.methods, explainer.methods) == (["occlusion"], list(METHODS))
    assert np.array_equal(without.attribute(images), explainer.attribute(images, method="occlusion"))
    with raises(DataError, "method-unknown", "'gradcam'"):
        explainer.attribute(images, method="grad-cam")


@pytest.fixture
def lit():
    """Twenty dark noisy squares with the spot at (6, 6) lit, which the model ``spot`` goes by."""
    images = np.random.default_rng(0).integers(0, 60, (20, 16, 16), dtype=np.uint8)
    images[:, 6:10, 6:10] = 250
    return images


def true_maps(images):
    maps = np.zeros(images.shape, dtype=np.float32)
    maps[:, 6:10, 6:10] = 1
    return maps


def test_true_map_beats_moved_maps(lit, spot):
    assert all(gain.low > 0.1 for gain in measure_faithfulness(spot, lit, true_maps(lit), 16))
    # Pixels that the model does not see must take no place in the order.
    maps = true_maps(lit)
    expected = measure_faithfulness(spot, lit, maps, 12)
    maps[:, :2] = 99
    assert measure_faithfulness(spot, lit, maps, 12) == expected
    noise = np.random.default_rng(1).random(lit.shape).astype(np.float32)
    for maps in (noise, np.zeros_like(noise)):
        deletion, _ = measure_faithfulness(spot, lit, maps, 16)
        assert deletion.low < 0 < deletion.high
    assert measure_faithfulness(spot, lit, 1 - true_maps(lit), 16)[0].high < 0


def test_pixel_ranks_begin_at_the_largest_inside_the_window():
    """Oracle: by hand."""
    maps = np.array([[[1.0, 5.0, 8.0], [3.0, 4.0, 7.0], [9.0, 6.0, 2.0]]])
    ranks = pixel_ranks(maps, slice(0, 2), np.random.default_rng(0))
    assert ranks.tolist() == [[[3, 0, -1], [2, 1, -1], [-1, -1, -1]]]
    # Oracle: by hand; the second map is a tenth of the first.
    maps = np.array([[[1, 0], [0, 0]], [[0, 0.1], [0, 0]], [[0, 0], [0, 0]]], dtype=np.float32)
    found = mean_maps(maps, [4, 4, 2])
    assert found[4].tolist() == [[0.5, 0.5], [0, 0]]
    assert not found[2].any()
    before, after = np.full((1, 2, 2), 255, np.uint8), np.zeros((1, 2, 2), np.uint8)
    ranks = np.array([[[0, 1], [2, 3]]])
    seen = removal_curves(lambda x: x.reshape(-1, 4).sum(axis=1, keepdims=True) / 1020, before, after, ranks, [0], 4)
    assert (seen, area(seen)) == (pytest.approx(np.array([[1, 0.75, 0.5, 0.25, 0]])), pytest.approx([0.5]))


def test_colours_equal_magma_and_overlay_keeps_the_face():
    """Oracle: matplotlib."""
    import matplotlib

    values = np.linspace(0, 1, 256)
    assert np.abs(colour(values) - matplotlib.colormaps["magma"](values)[:, :3] * 255).max() < 3
    face = np.array([[10, 200], [90, 90]], dtype=np.uint8)
    image = overlay(face, np.array([[0.0, -5.0], [0.0, 0.0]]), enlarge=3)
    assert (image.shape, image.dtype) == ((6, 6, 3), np.uint8)
    assert (image == face.repeat(3, 0).repeat(3, 1)[:, :, None]).all()
    full = overlay(face, np.ones((2, 2)), enlarge=1).astype(int)
    assert (full[0, 1] - full[0, 0] > 50).all(), "light and dark of the face show through the strongest colour"
    assert np.ptp(full[0, 0]) > 20, "and it is coloured"
    # One of 1,000 equal values is a thousand times as large: the others are coloured as strongly as without it.
    face, even = np.full((40, 25), 100, dtype=np.uint8), np.ones((40, 25))
    outlier = even.copy()
    outlier[7, 7] = 1000
    assert (overlay(face, outlier) == overlay(face, even)).all()
    halves = np.where(np.arange(25) < 12, 0.5, 1.0) * even
    assert not (overlay(face, halves)[:, 0] == overlay(face, halves)[:, -1]).all()


SEEN = np.zeros(5, dtype=np.int64)
"""The class that a bright pixel speaks for."""


def one_pixel(images):
    """A model that sees the pixel (5, 9) and nothing else."""
    share = images[:, 5, 9] / 255
    return np.stack([share, 1 - share], axis=1)


def test_occlusion_finds_the_pixel_of_a_one_pixel_model():
    """By hand: every patch, of 3 px and at every place, that covers the pixel makes the same drop, every other none."""
    squares = np.random.default_rng(3).integers(0, 256, (5, 18, 18), dtype=np.uint8)
    squares[:, 5, 9] = 255
    maps, fill = occlusion(one_pixel, squares, SEEN, 18), np.rint(squares.mean(axis=(1, 2)))
    assert maps[:, 5, 9] == pytest.approx(1 - fill / 255, abs=1e-6)
    # A pixel two to the right shares one of its three columns of positions with the seen one.
    assert maps[:, 5, 11] == pytest.approx((1 - fill / 255) / 3, abs=1e-6)
    assert not maps[:, :3].any()
    assert not maps[:, 8:].any()
    assert occlusion(one_pixel, squares, np.ones(5, dtype=np.int64), 18) == pytest.approx(-maps)
    # By hand: the drop says what the seen pixel was covered with; a white border has no part in it.
    bordered = np.full_like(squares, 255)
    bordered[:, 3:15, 3:15] = squares[:, 3:15, 3:15] // 2
    bordered[:, 5, 9] = 255
    maps = occlusion(one_pixel, bordered, SEEN, 12)
    fill = np.rint(bordered[:, 3:15, 3:15].mean(axis=(1, 2)))
    assert (fill < 80).all()
    assert maps[:, 5, 9] == pytest.approx(1 - fill / 255, abs=1e-6)
    masks = patch_masks(16, 5, 3, 12)
    assert (masks.sum(axis=(1, 2)) == 25).all()
    covered = masks.any(axis=0)
    assert covered[2:14, 2:14].all()
    assert covered.sum() == 144
