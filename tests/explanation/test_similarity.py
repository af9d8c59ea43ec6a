import numpy as np
import pytest
from scipy import ndimage, stats

from mien.explanation.similarity import spearman, ssim


@pytest.fixture
def pairs():
    generator = np.random.default_rng(0)
    first = generator.random((3, 20, 20))
    return first, np.round(0.6 * first + 0.4 * generator.random((3, 20, 20)), 1)


def test_rank_correlation_with_ties(pairs):
    """Oracle: scipy.stats.spearmanr."""
    expected = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(*pairs, strict=True)]
    assert spearman(*pairs) == pytest.approx(expected, abs=1e-12)
    assert spearman(pairs[0], np.zeros_like(pairs[0])).tolist() == [0, 0, 0]


def test_structural_similarity(pairs):
    """Oracle: Wang et al.'s formula with scipy's Gaussian filter."""

    def local(values):
        return ndimage.gaussian_filter(values, 1.5, mode="nearest", truncate=3.5)

    for a, b, found in zip(*pairs, ssim(*pairs), strict=True):
        x, y = ((each - each.min()) / np.ptp(each) for each in (a, b))
        ux, uy = local(x), local(y)
        vx, vy, vxy = local(x * x) - ux**2, local(y * y) - uy**2, local(x * y) - ux * uy
        c1, c2 = 0.01**2, 0.03**2
        expected = ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
        assert found == pytest.approx(expected.mean(), abs=1e-9)
    assert ssim(pairs[0], pairs[0]) == pytest.approx(1)
    assert ssim(pairs[0], 7 * pairs[0] + 2) == pytest.approx(1), "the scale of a map says nothing"
    assert np.isfinite(ssim(pairs[0], np.zeros_like(pairs[0]))).all()
