"""By hand: grey, white, and a board of black and white."""

import numpy as np

from mien.evaluation.image_statistics import contrast


def test_contrast_is_the_deviation_of_the_pixels():
    board = np.indices((48, 48)).sum(axis=0) % 2 * 255
    images = np.stack([np.zeros((48, 48)), np.full((48, 48), 255), board]).astype(np.uint8)
    assert contrast(images).tolist() == [0, 0, 127.5]
    assert contrast(images[:0]).shape == (0,)
