"""Where the face of scikit-image's astronaut is, and images without one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FACELESS = ("coffee.png", "clock_motion.png", "gravel.png", "brick.png", "text.png", "rocket.jpg", "chelsea.png")


@pytest.fixture(scope="session")
def astronaut_face():
    """Left, top, right, bottom of her face, measured by hand: hairline to chin, cheek to cheek."""
    return (180, 72, 270, 190)


@pytest.fixture(scope="session")
def faceless():
    folder = Path(pytest.importorskip("skimage.data").__file__).parent
    return {name: np.asarray(Image.open(folder / name).convert("RGB")) for name in FACELESS}
