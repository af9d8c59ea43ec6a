import numpy as np
import pytest


@pytest.fixture
def face():
    """Noise of FER2013's size."""
    return np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
