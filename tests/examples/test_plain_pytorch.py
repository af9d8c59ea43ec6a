"""The example of plain PyTorch learns. Oracles: what was drawn, ONNX Runtime, torch's own cross-entropy."""

import csv
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow
import pyarrow.parquet
import pytest
import torch

from mien.data.synthetic import synthetic_faces
from support import encoded, load_script

EXAMPLE = Path(__file__).parents[2] / "examples" / "plain_pytorch.py"


@pytest.fixture(scope="module")
def plain():
    return load_script(EXAMPLE)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_it_learns_and_its_file_gives_the_same_probabilities(plain, tmp_path):
    # Stripes of a width for each class as fer2013.csv, a tenth with another label; eight of ten annotators see it.
    random = np.random.default_rng(0)
    drawn = random.integers(0, 7, 560)
    labels = np.where(random.random(560) < 0.1, random.integers(0, 7, 560), drawn)
    at = np.arange(48) + random.integers(0, 40, (560, 1))
    rows = 128 + 60 * np.sin(2 * np.pi * at / 2 ** (1 + 0.7 * drawn[:, None]))
    images = (rows[:, :, None] + random.normal(0, 20, (560, 48, 48))).clip(0, 255).astype(np.uint8)
    with (tmp_path / "faces.csv").open("w", newline="") as a, (tmp_path / "votes.csv").open("w", newline="") as b:
        faces_table, votes_table = csv.writer(a), csv.writer(b)
        faces_table.writerow(["emotion", "pixels", "Usage"])
        votes_table.writerow(["Usage", "Image name", *plain.NAMES])
        for number, (image, label, shape) in enumerate(zip(images, labels, drawn, strict=True)):
            usage = "Training" if number < 400 else "PublicTest" if number < 550 else "PrivateTest"
            faces_table.writerow([label, " ".join(map(str, image.ravel())), usage])
            seen = plain.CLASSES[shape]
            votes_table.writerow([usage, "", *(8 * (seen == each) + 2 * (each == "unknown") for each in plain.FERPLUS)])
    tables = tmp_path / "faces.csv", tmp_path / "votes.csv"
    data = plain.read_csv(*tables)
    assert [len(split.labels) for split in data.values()] == [400, 150]
    metrics = plain.run(data, tmp_path / "plain.onnx", epochs=4, width=8, batch=16)
    assert 0.8 < metrics["accuracy"] < 0.95
    assert metrics["majority_accuracy"] > 0.95
    assert 0 < metrics["calibration_error"] < 0.1
    session = onnxruntime.InferenceSession(tmp_path / "plain.onnx")
    label, votes = session.run(["label", "votes"], {"images": plain.to_input(data["PublicTest"].images).numpy()})
    assert (label.argmax(axis=1) == data["PublicTest"].labels.numpy()).mean() == pytest.approx(metrics["accuracy"])
    assert votes.sum(axis=1) == pytest.approx(np.ones(150), abs=1e-5)


def test_a_parquet_file_gives_the_pixels_that_were_put_in(plain, tmp_path):
    """WebP, as FER2013's parquet files have it, is decoded as RGB."""
    images = np.asarray(synthetic_faces(7, seed=0).images)[:4]
    files = [{"bytes": encoded(image, "webp", lossless=True), "path": None} for image in images]
    columns = {"image": files, "label": [0, 1, 2, 3], "ferplus_votes": [[10] + 9 * [0]] * 4}
    usage = ["Training", "PublicTest", "Training", "PublicTest"]
    pyarrow.parquet.write_table(pyarrow.table({**columns, "usage": usage}), tmp_path / "faces.parquet")
    data = plain.read_parquet(tmp_path / "faces.parquet")
    np.testing.assert_array_equal(data["PublicTest"].images[:, 0], images[[1, 3]])
    assert (data["PublicTest"].labels.tolist(), data["Training"].votes[:, 0].tolist()) == ([1, 3], [1, 1])


def test_the_temperature_makes_the_labels_most_likely(plain):
    """Oracle: a grid of temperatures."""
    torch.manual_seed(0)
    labels = torch.randint(0, 7, (500,))
    logits, grid = 3 * (torch.nn.functional.one_hot(labels, 7) + torch.randn(500, 7)), torch.arange(0.2, 8, 0.01)
    losses = [torch.nn.functional.cross_entropy(logits / each, labels) for each in grid]
    best = float(grid[int(torch.stack(losses).argmin())])
    assert plain.fit_temperature(logits, labels) == pytest.approx(best, abs=0.02)
    assert not re.search(r"^\s*(from|import) mien", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
