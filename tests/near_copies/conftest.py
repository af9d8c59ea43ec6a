from __future__ import annotations

import numpy as np
import pytest

from mien.data.synthetic import draw_labels, render_faces


@pytest.fixture(scope="session")
def drawn() -> np.ndarray:
    """2,000 different rendered faces, uint8 (2000, 48, 48)."""
    return render_faces(draw_labels(2000, 11), 11)
