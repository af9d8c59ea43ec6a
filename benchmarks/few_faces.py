"""What features of a built-in model, or of a network that knows whose face it is, bring to few faces of one's own.

    python benchmarks/few_faces.py FOLDER [--network faceres-deep.json --network ...]

FOLDER/labels.csv has path,label for photographs; the largest face of each counts. A linear head (logistic regression,
its penalty by cross-validation) is trained on the frozen features of 5 to 40 faces a class and measured on all others:
balanced accuracy, the mean of ten draws and their standard deviation. Classes with too few faces are left out.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.append(str(Path(__file__).parents[1] / "examples"))
from face_network import FaceNetwork

from mien.base.images import open_image
from mien.base.model_file import open_model
from mien.base.preprocess import to_input, upright_rgb
from mien.faces.crop import brightened, crop_faces, square_around
from mien.faces.find import find_detector
from mien.inference.find_model import find_model

COUNTS = (5, 10, 20, 40)
DRAWS = 10


def crops_in(folder: Path, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey crops uint8 (N, S, S) of each photograph's largest face, and labels (N,)."""
    detector, crops, labels = find_detector(), [], []
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rgb = upright_rgb(open_image(folder / row["path"]))
            if found := detector.detect(rgb):
                square = square_around(found[0].box, detector.margin, found[0].landmarks)
                crops.append(crop_faces(brightened(rgb), [square], size_px)[0])
                labels.append(row["label"])
    return np.stack(crops), np.array(labels)


def features_of(name: str, crops: np.ndarray) -> np.ndarray:
    """The vectors that the last layer of a built-in model sees."""
    session, manifest = open_model(find_model(name), 1)
    images = to_input(crops, manifest.input)
    return np.concatenate([session.run(["features"], {"images": batch})[0] for batch in np.array_split(images, 8)])


def features_of_network(file: Path, crops: np.ndarray) -> np.ndarray:
    """The pooled vectors of a face network, which resizes the crops itself."""
    network = FaceNetwork(1, file).eval()
    network.head = torch.nn.Identity()
    images = (torch.from_numpy(crops).float().unsqueeze(1) / 255 - network.mean) / network.std
    with torch.no_grad():
        return torch.cat([network(batch) for batch in images.split(64)]).numpy()


def accuracy(features: np.ndarray, labels: np.ndarray, per_class: int, draw: int) -> float:
    """Balanced accuracy on the faces that are not drawn for training."""
    order = np.random.default_rng(draw).permutation(len(labels))
    chosen = np.concatenate([order[labels[order] == name][:per_class] for name in np.unique(labels)])
    rest = np.setdiff1d(order, chosen)
    head = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=np.logspace(-5, 0, 6), cv=5, max_iter=300))
    head.fit(features[chosen], labels[chosen])
    return float(balanced_accuracy_score(labels[rest], head.predict(features[rest])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", type=Path, action="append", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    crops, labels = crops_in(options.folder, 48)
    features = {name: features_of(name, crops) for name in ("fast", "default", "best")}
    large = crops_in(options.folder, 150)[0] if options.network else crops
    for file in options.network:
        known = features_of_network(file, large)
        features |= {file.stem: known, f"default and {file.stem}": np.hstack([features["default"], known])}
    names, counts = np.unique(labels, return_counts=True)
    kept = np.isin(labels, names[counts >= 2 * COUNTS[-1]])
    print(f"{kept.sum()} faces of {', '.join(np.unique(labels[kept]))}")
    for name, vectors in features.items():
        for count in COUNTS:
            values = [accuracy(vectors[kept], labels[kept], count, draw) for draw in range(DRAWS)]
            print(f"{name}, {count} a class: {np.mean(values):.1%} ± {np.std(values):.1%}", flush=True)


if __name__ == "__main__":
    main()
