"""Search for a predictions file and its ``robustness.json``. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mien.base.errors import DataError, Notice, arg, nearest
from mien.data.dataset import ALL, SPLITS
from mien.evaluation.predictions import Predictions
from mien.evaluation.robustness import NAME, RobustnessResult, read_robustness
from mien.inference.find_model import find_run, find_run_of_model, is_shipped
from mien.reporting.context import NOT_MEASURED


def find_predictions(folder: Path, split: str | None = None) -> Path:
    """Return the predictions file in a run folder, or in a folder by ``mien evaluate --out``.

    Raises:
        DataError: there are no predictions, none for this split, or several and no ``split``.
    """
    found = {file.stem.removeprefix("predictions_"): file for file in sorted(folder.glob("predictions_*.npz"))}
    if split is not None and split in found:
        return found[split]
    if not found or split is not None:
        if folder.is_file():
            raise DataError(
                f"{folder} is a file; give a folder, such as a run. Give a predictions file with {arg('predictions')}, "
                f"data with {arg('data')}.",
                code="folder-is-a-file",
            )
        if folder.is_dir() and split not in {None, *SPLITS, ALL}:
            raise DataError(
                f"There is no split '{split}'." + nearest(split or "", {*SPLITS, ALL, *found}), code="split-unknown"
            )
        wanted = f"predictions_{split or '*'}.npz"
        state = f"has no {wanted}" if folder.is_dir() else "does not exist"
        model, place = "MODEL", "DIR" if folder.exists() else folder
        if is_shipped(str(folder)) and not folder.exists():
            model, place, state = str(folder), "DIR", "is the name of a model; a folder with its predictions is needed"
        of_split = f" --split {split}" if split in {*SPLITS, ALL} else ""
        raise DataError(
            f"{folder} {state}. Make one with: mien evaluate {model} --data PATH{of_split} --out {place}",
            code="predictions-missing",
        )
    if "validation" in found:
        return found["validation"]
    if len(found) > 1:
        raise DataError(
            f"{folder} has predictions for {', '.join(found)}; choose one with {arg('split')}.", code="split-ambiguous"
        )
    return next(iter(found.values()))


def find_robustness(
    places: Sequence[Path], predictions: Predictions, model_name: str | None
) -> RobustnessResult | Notice:
    """Return the first ``robustness.json`` for the predictions' split and model, or a notice why there is none.

    Raises:
        DataError: a file is not a ``robustness.json``.
    """
    if predictions.split == "test":
        words = "Robustness section skipped: only `mien evaluate` may use the test split."
        return Notice(words, code="robustness-of-test")
    nothing = NOT_MEASURED
    for place in places:
        file = place / NAME if place.is_dir() else place
        if not file.is_file():
            continue
        measured = read_robustness(file)
        prints = {measured.data_fingerprint, predictions.data_fingerprint} - {""}
        other_model = model_name is not None and _place(measured.model) != _place(model_name)
        if measured.split != predictions.split or len(prints) > 1 or other_model:
            words = f"{file} skipped: it is for {measured.description}, not for the data or the model of this report."
            nothing = Notice(words, code="robustness-other")
            continue
        return measured
    return nothing


def _place(model: str) -> Path:
    """Return the run folder for a run or its model file; otherwise the file."""
    run = find_run_of_model(model)
    return (find_run(model) if run is None else run).path.resolve()
