import numpy as np

from mien.explanation.overlay import colour, overlay


def test_colours_equal_magma():
    """Oracle: matplotlib."""
    import matplotlib

    values = np.linspace(0, 1, 256)
    assert np.abs(colour(values) - matplotlib.colormaps["magma"](values)[:, :3] * 255).max() < 3


def test_overlay_keeps_the_face_where_the_map_is_empty():
    face = np.array([[10, 200], [90, 90]], dtype=np.uint8)
    image = overlay(face, np.array([[0.0, -5.0], [0.0, 0.0]]), enlarge=3)
    assert image.shape == (6, 6, 3)
    assert image.dtype == np.uint8
    assert (image == face.repeat(3, 0).repeat(3, 1)[:, :, None]).all()
    full = overlay(face, np.ones((2, 2)), enlarge=1).astype(int)
    assert (full[0, 1] - full[0, 0] > 50).all(), "light and dark of the face show through the strongest colour"
    assert np.ptp(full[0, 0]) > 20, "and it is coloured"


def test_overlay_ignores_a_single_outlier():
    """Of 1,000 equal values one is a thousand times as large: the others are coloured as strongly as without it."""
    face, even = np.full((40, 25), 100, dtype=np.uint8), np.ones((40, 25))
    outlier = even.copy()
    outlier[7, 7] = 1000
    assert (overlay(face, outlier) == overlay(face, even)).all()
    halves = np.where(np.arange(25) < 12, 0.5, 1.0) * even
    assert not (overlay(face, halves)[:, 0] == overlay(face, halves)[:, -1]).all()
