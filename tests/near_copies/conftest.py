from __future__ import annotations

import numpy as np
import pytest

from mien.data.dataset import Dataset
from mien.data.read import read_data
from mien.data.synthetic import draw_labels, render_faces


@pytest.fixture(scope="session")
def fer2013_faces(fer2013_dev) -> Dataset:
    """FER2013's Training and PublicTest, decoded once for all tests of the audit."""
    return read_data(fer2013_dev, cache=False).faces


@pytest.fixture(scope="session")
def drawn() -> np.ndarray:
    """2,000 different rendered faces, uint8 (2000, 48, 48)."""
    return render_faces(draw_labels(2000, 11), 11)
