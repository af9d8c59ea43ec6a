"""How fast synthetic faces are drawn on one core, and how hard they are.

    python benchmarks/synthetic.py              faces a second
    python benchmarks/synthetic.py --accuracy   also a linear model and a small CNN (needs torch and scikit-learn)

Both models learn from 8,000 faces and are scored on 2,000 others.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import numpy.typing as npt

from mien.data.synthetic import draw_labels, render_faces
from mien.labels import EXPRESSIONS

TRAINING_FACES = 8_000
TEST_FACES = 2_000
EPOCHS = 10

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def measure_speed(count: int, repeats: int = 3) -> float:
    """Faces a second in the best of `repeats` runs; all work included."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        render_faces(draw_labels(count, seed=0), seed=0)
        seconds.append(time.perf_counter() - start)
    return count / min(seconds)


def linear_accuracy(images: Images, labels: Labels, inverse_penalty: float) -> float:
    """Test accuracy of logistic regression on standardised pixels; the last TEST_FACES faces are the test set."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    pixels = images.reshape(len(images), -1).astype(np.float32)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=inverse_penalty, max_iter=1000, tol=1e-3))
    with threadpool_limits(1):
        model.fit(pixels[:TRAINING_FACES], labels[:TRAINING_FACES])
    return float(model.score(pixels[TRAINING_FACES:], labels[TRAINING_FACES:]))


def cnn_accuracy(images: Images, labels: Labels, seed: int) -> tuple[float, npt.NDArray[np.int64]]:
    """Test accuracy of three conv stages (32-64-128), mirrored faces as only augmentation; and predictions (2000,)."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    pixels = torch.from_numpy(images).float().unsqueeze(1) / 255
    pixels = (pixels - pixels.mean((2, 3), keepdim=True)) / (pixels.std((2, 3), keepdim=True) + 1e-3)
    pixels = pixels.to(memory_format=torch.channels_last)  # the faster layout for convolutions on a CPU
    targets = torch.from_numpy(labels)
    stages: list[nn.Module] = []
    for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
        stages += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        stages += [nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * 6 * 6, len(EXPRESSIONS))]
    model = nn.Sequential(*stages, *head)
    batch = 64
    steps = EPOCHS * (TRAINING_FACES // batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(TRAINING_FACES)[: TRAINING_FACES // batch * batch].split(batch):
            faces = pixels[chosen]
            if torch.rand(()) < 0.5:
                faces = faces.flip(3)
            with torch.autocast("cpu", torch.bfloat16):
                loss = nn.functional.cross_entropy(model(faces), targets[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    model.eval()
    with torch.inference_mode():
        predicted = torch.cat([model(part).argmax(1) for part in pixels[TRAINING_FACES:].split(256)]).numpy()
    return float((predicted == labels[TRAINING_FACES:]).mean()), predicted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5_000, help="faces drawn for the speed (default 5000)")
    parser.add_argument("--accuracy", action="store_true", help="also train a linear model and a small CNN")
    parser.add_argument("--seed", type=int, default=0, help="seed of the faces and of the CNN (default 0)")
    arguments = parser.parse_args()
    print(f"rendering: {measure_speed(arguments.count):,.0f} faces/s on one core")
    if not arguments.accuracy:
        return
    labels = draw_labels(TRAINING_FACES + TEST_FACES, arguments.seed)
    images = render_faces(labels, arguments.seed)
    start = time.perf_counter()
    accuracy = linear_accuracy(images, labels, inverse_penalty=1e-2)
    print(f"logistic regression: {accuracy:.1%} ({time.perf_counter() - start:.0f} s)")
    start = time.perf_counter()
    accuracy, predicted = cnn_accuracy(images, labels, arguments.seed)
    print(f"small CNN, {EPOCHS} epochs: {accuracy:.1%} ({time.perf_counter() - start:.0f} s)")
    truth = labels[TRAINING_FACES:]
    print("rows truth, columns prediction, in %:")
    for label, name in enumerate(EXPRESSIONS):
        shares = np.bincount(predicted[truth == label], minlength=len(EXPRESSIONS)) / (truth == label).sum()
        print(f"  {name:9}", " ".join(f"{share:4.0%}" for share in shares))


if __name__ == "__main__":
    main()
