"""FER2013 from its table to an ONNX file in plain PyTorch: what mien does, without mien.

    python examples/plain_pytorch.py fer2013.csv fer2013new.csv --out plain.onnx
    python examples/plain_pytorch.py fer2013.parquet --out plain.onnx

A CSV is Kaggle's (``emotion,pixels,Usage``), with FER+'s ``fer2013new.csv`` beside it. A parquet file has the columns
``image`` (bytes), ``label``, ``usage`` and ``ferplus_votes``. The network learns the label from one head and the
annotators' votes from another. Its temperature is fitted on PublicTest, so the calibration error that is printed for
the same images flatters a little. PrivateTest is never read.

mien adds to this: other shapes of data, copies between the splits, intervals, resuming bit by bit, and a manifest in
the file, so that a reader knows its classes and its input.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FERPLUS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "not-a-face")
NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
"""Columns of ``fer2013new.csv``, in the order of FERPLUS."""

NOT_EXPRESSIONS = 2
"""The last columns of the votes are no expressions; no majority is counted for them."""

MEAN, STD = 0.508, 0.255
SIDE, CROP = 48, 44


class Split(NamedTuple):
    """Images uint8 (N, 1, 48, 48), labels int64 (N,), fractions of votes float32 (N, 10)."""

    images: Tensor
    labels: Tensor
    votes: Tensor


def read_csv(table: Path, votes: Path) -> dict[str, Split]:
    """Training and PublicTest of Kaggle's table; the votes have a line for each of its rows."""
    rows: dict[str, list[tuple[np.ndarray, int, list[float]]]] = {"Training": [], "PublicTest": []}
    with table.open(newline="") as faces, votes.open(newline="") as counts:
        for face, count in zip(csv.DictReader(faces), csv.DictReader(counts), strict=True):
            if face["Usage"] in rows:
                pixels = np.array(face["pixels"].split(), np.uint8).reshape(1, SIDE, SIDE)
                rows[face["Usage"]].append((pixels, int(face["emotion"]), [float(count[name]) for name in NAMES]))
    return {usage: _split(*zip(*found, strict=True)) for usage, found in rows.items()}


def read_parquet(file: Path) -> dict[str, Split]:
    """Training and PublicTest of a parquet file with votes."""
    import pyarrow.parquet as parquet
    from PIL import Image

    columns = parquet.read_table(file).to_pydict()
    pixels = [np.asarray(Image.open(io.BytesIO(each["bytes"])).convert("L"))[None] for each in columns["image"]]
    usages = np.array(columns["usage"])
    return {
        usage: _split(*([column[at] for at in np.flatnonzero(usages == usage)] for column in parts))
        for parts in [(pixels, columns["label"], columns["ferplus_votes"])]
        for usage in ("Training", "PublicTest")
    }


def _split(pixels, labels, votes) -> Split:
    counts = torch.tensor(np.array(votes, np.float32))
    fractions = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    return Split(torch.from_numpy(np.stack(pixels)), torch.tensor(labels), fractions)


class Network(nn.Module):
    """Four blocks of convolutions and two heads on their mean over the image: logits of labels and of votes."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_convolution(1, width, stride=2)]
        for factor in (2, 4, 8):
            layers += [*_convolution(width * factor // 2, width * factor), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.label = nn.Linear(8 * width, len(CLASSES))
        self.votes = nn.Linear(8 * width, len(FERPLUS))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found = self.features(images)
        return self.label(found), self.votes(found)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def to_input(images: Tensor) -> Tensor:
    """uint8 (N, 1, 48, 48) -> float32 (N, 1, 44, 44), the middle."""
    edge = (SIDE - CROP) // 2
    return (images[..., edge : edge + CROP, edge : edge + CROP].float() / 255 - MEAN) / STD


def augment(images: Tensor) -> Tensor:
    """The same with a mirror, a rotation of up to 4 degrees, a scale of up to 5% and a shift of up to 4%."""
    count = len(images)

    def uniform(most: float) -> Tensor:
        return (2 * torch.rand(count) - 1) * most

    angle, scale = torch.deg2rad(uniform(4)), (1 + uniform(0.05)) * CROP / SIDE
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rows = [
        torch.stack([mirror * cosine, -sine, uniform(0.08)], 1),
        torch.stack([mirror * sine, cosine, uniform(0.08)], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), [count, 1, CROP, CROP], align_corners=False)
    moved = functional.grid_sample(images.float() / 255, grid, padding_mode="border", align_corners=False)
    return (moved - MEAN) / STD


def loss_of(outputs: tuple[Tensor, Tensor], labels: Tensor, votes: Tensor) -> Tensor:
    """Cross-entropy with the label, smoothed by 0.1, plus cross-entropy with the fractions of the votes."""
    of_label, of_votes = outputs
    return functional.cross_entropy(of_label, labels, label_smoothing=0.1) + functional.cross_entropy(of_votes, votes)


def train(network: nn.Module, data: Split, epochs: int, batch: int = 64, lr: float = 0.1) -> float:
    """SGD under a one-cycle schedule. Returns images a second."""
    optimiser = torch.optim.SGD(network.parameters(), lr, momentum=0.9, nesterov=True, weight_decay=1e-3)
    steps = max(len(data.labels) // batch, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, epochs * steps, pct_start=0.1, cycle_momentum=False)
    network.train()
    began = time.perf_counter()
    for epoch in range(epochs):
        order = torch.randperm(len(data.labels))
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            loss = loss_of(network(augment(data.images[chosen])), data.labels[chosen], data.votes[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / steps:.3f}, {time.perf_counter() - began:.0f} s", flush=True)
    return epochs * steps * min(batch, len(data.labels)) / (time.perf_counter() - began)


@torch.no_grad()
def predict(network: Network, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of labels and of votes."""
    network.eval()
    parts = [network(to_input(part)) for part in images.split(256)]
    of_label, of_votes = zip(*parts, strict=True)
    return torch.cat(of_label), torch.cat(of_votes)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The divisor of the logits under which the labels are most likely: Guo et al., ICML 2017."""
    scale = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([scale], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = functional.cross_entropy(logits / scale.exp(), labels)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(scale.detach().exp())


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """The mean distance of confidence and accuracy over bins of equal width."""
    confidence, predicted = probabilities.max(dim=1)
    right = (predicted == labels).float()
    which = (confidence * bins).long().clamp(max=bins - 1)
    return sum(abs(float((right - confidence)[which == at].sum())) for at in range(bins)) / len(labels)


def evaluate(network: Network, data: Split, temperature: float) -> dict[str, float]:
    """Accuracy on the label, calibration error, and accuracy on what more than half of the annotators see."""
    of_label, of_votes = predict(network, data.images)
    most, majority = data.votes.max(dim=1)
    counted = (most > 0.5) & (majority < len(FERPLUS) - NOT_EXPRESSIONS)
    seen = of_votes[:, :-NOT_EXPRESSIONS].argmax(dim=1)
    return {
        "accuracy": float((of_label.argmax(dim=1) == data.labels).float().mean()),
        "calibration_error": calibration_error((of_label / temperature).softmax(dim=1), data.labels),
        "majority_accuracy": float((seen == majority)[counted].float().mean()),
    }


def export(network: Network, temperature: float, file: Path) -> None:
    """An ONNX file: float32 (N, 1, 44, 44) -> probabilities of CLASSES and of FERPLUS."""

    class Probabilities(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            of_label, of_votes = network(images)
            return (of_label / temperature).softmax(dim=1), of_votes.softmax(dim=1)

    whole = Probabilities().eval()
    whole.network = network.eval()
    names: Any = {"input_names": ["images"], "output_names": ["label", "votes"]}
    batch, example = {"images": {0: torch.export.Dim("batch")}}, torch.zeros(2, 1, CROP, CROP)
    program: Any = torch.onnx.export(whole, (example,), dynamo=True, dynamic_shapes=batch, **names)
    program.save(file)


def run(data: dict[str, Split], out: Path, epochs: int, width: int = 32, batch: int = 64) -> dict[str, float]:
    """The whole story. Returns the metrics on PublicTest and the training rate."""
    torch.manual_seed(0)
    network = Network(width)
    rate = train(network, data["Training"], epochs, batch)
    temperature = fit_temperature(predict(network, data["PublicTest"].images)[0], data["PublicTest"].labels)
    metrics = evaluate(network, data["PublicTest"], temperature)
    export(network, temperature, out)
    return {**metrics, "temperature": temperature, "images_per_second": rate}


def main() -> None:
    """Train on the files that the command line names, and print the metrics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="fer2013.csv, or a parquet file")
    parser.add_argument("votes", type=Path, nargs="?", help="fer2013new.csv, for a CSV")
    parser.add_argument("--out", type=Path, default=Path("plain.onnx"))
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    if (options.data.suffix == ".csv") != (options.votes is not None):
        parser.error("a CSV comes with FER+'s fer2013new.csv, a parquet file alone")
    for file in filter(None, (options.data, options.votes)):
        if not file.is_file():
            parser.error(f"{file} is missing")
    if options.epochs < 1 or options.out.is_dir():
        parser.error("--epochs is 1 or more, and --out a file")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    data = read_csv(options.data, options.votes) if options.votes else read_parquet(options.data)
    for name, value in run(data, options.out, options.epochs).items():
        print(f"{name}: {value:,.4g}")


if __name__ == "__main__":
    main()
