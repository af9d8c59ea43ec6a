import numpy as np
import pytest

from mien.explanation.explainer import area, bootstrap_mean, measure_faithfulness, pixel_ranks, removal_curves


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
    assert all(gain.low > 0.1 for gain in measure_faithfulness(spot, lit, true_maps(lit), steps=16))


def test_random_map_does_not_beat_moved_maps(lit, spot):
    noise = np.random.default_rng(1).random(lit.shape).astype(np.float32)
    for maps in (noise, np.zeros_like(noise)):
        deletion, _ = measure_faithfulness(spot, lit, maps, steps=16)
        assert deletion.low < 0 < deletion.high
    assert measure_faithfulness(spot, lit, 1 - true_maps(lit), steps=16)[0].high < 0


def test_equal_seeds_give_equal_gains(lit, spot):
    noise = np.random.default_rng(1).random(lit.shape).astype(np.float32)
    first, second, other = (measure_faithfulness(spot, lit, noise, seed=seed) for seed in (4, 4, 5))
    assert first == second
    assert first[0].value != other[0].value
    assert first[1].value != other[1].value


def test_interval_has_percentiles_of_resampled_faces():
    """Oracle: numpy's quantiles of the means of the same draws."""
    values = np.random.default_rng(2).exponential(size=30)
    drawn = np.random.default_rng(0).integers(0, 30, (1000, 30))
    means = [values[rows].mean() for rows in drawn]
    found = bootstrap_mean(values)
    assert found.value == pytest.approx(values.mean(), abs=1e-12)
    assert [found.low, found.high] == pytest.approx(np.quantile(means, [0.025, 0.975]).tolist(), abs=1e-12)


def test_pixel_ranks_begin_at_the_largest_inside_the_window():
    """Oracle: by hand."""
    maps = np.array([[[1.0, 5.0, 8.0], [3.0, 4.0, 7.0], [9.0, 6.0, 2.0]]])
    ranks = pixel_ranks(maps, slice(0, 2), np.random.default_rng(0))
    assert ranks.tolist() == [[[3, 0, -1], [2, 1, -1], [-1, -1, -1]]]


def test_removal_curves_change_pixels_in_order():
    before, after = np.full((1, 2, 2), 255, np.uint8), np.zeros((1, 2, 2), np.uint8)
    ranks = np.array([[[0, 1], [2, 3]]])
    seen = removal_curves(lambda x: x.reshape(-1, 4).sum(axis=1, keepdims=True) / 1020, before, after, ranks, [0], 4)
    assert seen == pytest.approx(np.array([[1, 0.75, 0.5, 0.25, 0]]))
    assert area(seen) == pytest.approx([0.5])


def test_faithfulness_ignores_pixels_outside_the_crop(lit, spot):
    """Pixels that the model does not see must take no place in the order."""
    maps = true_maps(lit)
    expected = measure_faithfulness(spot, lit, maps, crop_px=12, steps=9)
    maps[:, :2] = 99
    assert measure_faithfulness(spot, lit, maps, crop_px=12, steps=9) == expected
