"""Robustness: accuracy under every corruption and strength, stored in ``robustness.json``."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.files import expand_home, write_text
from mien.base.progress import track
from mien.base.sample_groups import Groups
from mien.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupt_in_parts
from mien.evaluation.intervals import bootstrap_mean, bootstrap_means, share_interval
from mien.evaluation.results import Estimate, fields_to_dict

Predict = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]

NAME = "robustness.json"
_STORED: dict[str, type[Any]] = dict.fromkeys(("faces", "seed", "groups", "trained_on"), int)
_STORED |= dict.fromkeys(("model", "data", "split", "data_fingerprint"), str)


@dataclass(frozen=True, eq=False)
class RobustnessResult:
    """Accuracy under corruptions: the content of a ``robustness.json``.

    Attributes:
        corruptions: names of the K corruptions.
        accuracy: float64 (K, 5), accuracy for each corruption and strength.
        clean_accuracy: accuracy on unchanged faces, with an interval over faces or groups.
        mean_accuracy: mean over all corruptions and strengths, with an interval over faces or groups.
        faces: number of faces.
        seed: seed of the corruptions.
        groups: number of resampled groups; None if faces were resampled.
        model, data, split: arguments given to ``mien robustness``, as text.
        data_fingerprint: fingerprint of the data as loaded; ``""`` if unknown.
        trained_on: number of these faces that the model was trained on, although they are not in its train split now.
    """

    corruptions: tuple[str, ...]
    accuracy: npt.NDArray[np.float64]
    clean_accuracy: Estimate
    mean_accuracy: Estimate
    faces: int
    seed: int
    groups: int | None = None
    model: str = "unknown"
    data: str = "unknown"
    split: str = "unknown"
    data_fingerprint: str = ""
    trained_on: int = 0

    def __str__(self) -> str:
        """Return a text table: accuracy in percent for each corruption and strength."""
        clean, corrupted = (
            f"{each.value:.1%} ({each.low:.1%} to {each.high:.1%})".replace("nan%", "–")
            for each in (self.clean_accuracy, self.mean_accuracy)
        )
        groups = "" if self.groups is None else f"; intervals draw {self.groups:,} groups"
        heads = [*map(str, STRENGTHS), "mean"]
        lines = [
            f"Clean accuracy {clean}, corrupted {corrupted}, on {self.faces:,} samples{groups}",
            "",
            f"{'accuracy % at strength':24}" + "".join(f"{each:>7}" for each in heads),
        ]
        for name, accuracies in zip(self.corruptions, self.accuracy, strict=True):
            lines.append(f"{name:24}" + "".join(f"{100 * each:7.1f}" for each in (*accuracies, accuracies.mean())))
        if self.trained_on:
            lines.append(f"The model was trained on {self.trained_on:,} of these {self.faces:,} samples.")
        return "\n".join(lines)

    @property
    def description(self) -> str:
        """Description of what was measured."""
        return f"the model {self.model} on {self.faces:,} samples of the split {self.split} of {self.data}"

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``robustness.json``; :func:`read_robustness` reads it."""
        left_out = "corruptions", *(name for name in ("groups", "trained_on") if not getattr(self, name))
        accuracy = dict(zip(self.corruptions, self.accuracy.tolist(), strict=True))
        return fields_to_dict(self, left_out) | {"accuracy": accuracy}


def measure_robustness(
    predict: Predict,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    *,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    seed: int = 0,
    groups: Groups | None = None,
) -> RobustnessResult:
    """Measure a model's accuracy under K corruptions of five strengths, in 5 K + 1 passes over the faces.

    ``predict`` maps faces uint8 (N, S, S[, 3]) to probabilities (N, C); ``corruptions`` are names of
    :data:`mien.evaluation.corruptions.CORRUPTIONS`.
    """
    clean = predict(images).argmax(axis=1) == labels
    right = np.empty((len(corruptions), len(STRENGTHS), len(images)), dtype=np.bool_)
    cells = [(index, name, strength) for index, name in enumerate(corruptions) for strength in STRENGTHS]
    for index, name, strength in track(cells, total=len(cells), what="corrupting", unit="passes"):
        parts = corrupt_in_parts(images, name, strength, seed)
        right[index, strength - 1] = np.concatenate([predict(part).argmax(axis=1) for part in parts]) == labels
    return RobustnessResult(
        corruptions=tuple(corruptions),
        accuracy=right.mean(axis=2),
        clean_accuracy=share_interval(clean, bootstrap_means(clean[:, np.newaxis], 1000, groups)[:, 0], groups),
        mean_accuracy=bootstrap_mean(right.mean(axis=(0, 1)), groups=groups),
        faces=len(images),
        seed=seed,
        groups=None if groups is None else len(np.unique(groups)),
    )


def write_robustness(folder: Path, result: RobustnessResult) -> Path:
    """Write ``robustness.json`` into a folder. Raises :class:`RunError` if it cannot be written."""
    write_text(folder / NAME, json.dumps(result.to_dict(), indent=2) + "\n")
    return folder / NAME


def read_robustness(path: str | os.PathLike[str]) -> RobustnessResult:
    """Read a ``robustness.json`` file, or the one in a folder. Raises :class:`DataError` if missing or invalid."""
    path = path / NAME if (path := expand_home(path)).is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        accuracy = np.array(list(content["accuracy"].values()), dtype=np.float64)
        names, parts = ("clean_accuracy", "mean_accuracy"), ("value", "low", "high")
        # The ends are null, here NaN, where one group alone was measured.
        clean, mean = np.array([[content[name][part] for part in parts] for name in names], dtype=np.float64).tolist()
        in_range = all(0 <= each <= 1 for each in (*accuracy.flat, clean[0], mean[0]))
        in_range &= not any(each < 0 or each > 1 for each in (*clean, *mean))
        if accuracy.shape[1:] != (len(STRENGTHS),) or not in_range:
            raise ValueError("it needs accuracies in 0..1, five for each corruption")
        return RobustnessResult(
            corruptions=tuple(content["accuracy"]),
            accuracy=accuracy,
            clean_accuracy=Estimate(*clean),
            mean_accuracy=Estimate(*mean),
            **{name: kind(content[name]) for name, kind in _STORED.items() if name in content},
        )
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Make it with mien robustness.", code="robustness-missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", code="file-unreadable") from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise DataError(f"{path} is not a {NAME}. Make it with mien robustness.", code="robustness-invalid") from None
