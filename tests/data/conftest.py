from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

Images = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def cache_in_tmp(_own_cache, tmp_path, monkeypatch):
    """A cache of its own for each test of the readers."""
    folder = tmp_path / "mien-cache"
    monkeypatch.setenv("MIEN_CACHE", str(folder))
    return folder


@pytest.fixture
def noise():
    """Distinct grey images: ``noise(count, side=48, seed=0)``."""

    def make(count: int, side: int = 48, seed: int = 0) -> Images:
        return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)

    return make


@pytest.fixture
def write_csv():
    """Write rows of fields under a header: ``write_csv(path, "emotion,pixels,Usage", rows)``."""

    def write(path: Path, header: str, rows: Sequence[Sequence[Any]]) -> Path:
        path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def kaggle_table(tmp_path, noise, write_csv, as_pixels):
    """``fer2013.csv`` with 20 images of noise of two classes, all of Training."""
    rows = [(row % 2, as_pixels(image), "Training") for row, image in enumerate(noise(20))]
    return write_csv(tmp_path / "fer2013.csv", "emotion,pixels,Usage", rows)


@pytest.fixture
def as_pixels():
    """An image as Kaggle writes it: space-separated numbers."""
    return lambda image: " ".join(map(str, image.ravel().tolist()))
