"""Oracles: OpenCV's Laplacian, numpy on one image at a time."""

import cv2
import numpy as np
import pytest

from mien.evaluation import image_statistics
from mien.evaluation.image_statistics import brightness, contrast, sharpness


@pytest.mark.parametrize("shape", [(7, 48, 48), (3, 5, 9), (2, 1, 6), (1, 1, 1)])
def test_light_contrast_and_sharpness(shape, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    monkeypatch.setattr(image_statistics, "_CHUNK_PIXELS", 2 * shape[1] * shape[2] + 1)
    np.testing.assert_allclose(brightness(images), [image.astype(float).mean() for image in images], rtol=1e-9)
    np.testing.assert_allclose(contrast(images), [image.astype(float).std() for image in images], atol=1e-9)
    if min(shape[1:]) > 1:  # OpenCV has nothing to mirror in a single line
        expected = [cv2.Laplacian(image, cv2.CV_64F).var() for image in images]
        np.testing.assert_allclose(sharpness(images), expected, rtol=1e-9)
    assert np.isfinite(sharpness(images)).all()


def test_extreme_images():
    board = np.indices((48, 48)).sum(axis=0) % 2 * 255
    images = np.stack([np.zeros((48, 48)), np.full((48, 48), 255), board]).astype(np.uint8)
    assert brightness(images).tolist() == [0, 255, 127.5]
    assert contrast(images).tolist() == [0, 0, 127.5]
    assert sharpness(images).tolist() == [0, 0, 1020**2]
    assert sharpness(images[:0]).shape == (0,)
    blurred = np.stack([cv2.GaussianBlur(images[2], (0, 0), sigma) for sigma in (0.5, 1.0)])
    assert sharpness(images)[2] > sharpness(blurred)[0] > sharpness(blurred)[1]
