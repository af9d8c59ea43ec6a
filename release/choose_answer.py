"""Choose the rule of the answer of shipped models, and write it into their files.

    python release/choose_answer.py fast default best --data fer2013.parquet --photos FOLDER

The rule (mien.base.model_file.AnswerRule) has the prior of the train split's votes, how much of it is taken out, and a
probability below which the answer is "unsure". The last two are chosen on two sets together: the validation split's
FER+ majority, and photographs (FOLDER/labels.csv: path,label), the largest face of each. Of all pairs that leave 4 to
10% of the photographs unsure, and cost at most 1.2 points of accuracy by the majority, the one with the highest mean
of four metrics wins: accuracy and mean recall on both, where an unsure answer is a wrong one. Both forms of a model
get the rule of its fp16 form. Each face is classified as it is and mirrored, as those of photographs are.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from model_card import PAGE, page

from mien.base.files import file_sha256, write_text
from mien.base.images import open_image
from mien.base.model_file import AnswerRule, ModelOutput, answer_output, read_manifest, replace_manifest
from mien.base.preprocess import upright_rgb
from mien.data.dataset import Dataset
from mien.data.read import load_dataset
from mien.data.synthetic import render_faces
from mien.data.votes import check_votes, vote_probabilities
from mien.evaluation.ferplus import majority
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import Predictor

SHIPPED = Path(__file__).parents[1] / "src" / "mien" / "shipped"
OUTPUT = "perceived"
STRENGTHS = np.arange(0, 0.61, 0.05)
THRESHOLDS = np.arange(0.2, 0.56, 0.01)
UNSURE = (0.04, 0.10)
"""Share of the photographs that may be unsure."""

LARGEST_LOSS = 0.012
"""Of accuracy by the majority, nothing being unsure."""

RECALLED = {
    "photographs": ("neutral", "happy", "surprise", "sad", "angry"),
    "majority": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear"),
}
"""Over which classes recall is averaged: of the photographs' other two, many are doubtful or there are few."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One set of faces: shares of people float64 (N, V) by a model, and what each face shows, str (N,)."""

    shares: Floats
    truth: npt.NDArray[np.str_]


def metrics_of(rule: AnswerRule, classes: tuple[str, ...], of: Measured, recalled: tuple[str, ...]) -> dict[str, float]:
    """Accuracy, mean recall and the share of unsure answers."""
    output = answer_output(rule, ModelOutput(OUTPUT, "logits", classes, 1.0, "votes"))
    probabilities = output.shown(of.shares)
    answers = np.array(output.classes)[probabilities.argmax(axis=1)]
    unsure = (probabilities.max(axis=1) < rule.unsure_below) & (answers != "not-a-face")
    right = (answers == of.truth) & ~unsure
    recalls = [right[of.truth == name].mean() for name in recalled if (of.truth == name).any()]
    return {"accuracy": float(right.mean()), "recall": float(np.mean(recalls)), "unsure": float(unsure.mean())}


def choose(prior: Floats, classes: tuple[str, ...], majority_set: Measured, photographs: Measured) -> AnswerRule:
    """The best pair of the grid. Raises ValueError where none leaves so many photographs unsure."""
    best: tuple[float, AnswerRule] | None = None

    def top_accuracy(strength: float) -> float:
        rule = AnswerRule(output=OUTPUT, prior=tuple(prior.tolist()), strength=strength, unsure_below=0.0)
        return metrics_of(rule, classes, majority_set, RECALLED["majority"])["accuracy"]

    least = top_accuracy(0.0) - LARGEST_LOSS
    for strength in STRENGTHS:
        if top_accuracy(float(strength)) < least:
            continue
        for threshold in THRESHOLDS:
            rule = AnswerRule(
                output=OUTPUT,
                prior=tuple(np.round(prior, 5).tolist()),
                strength=round(float(strength), 2),
                unsure_below=round(float(threshold), 2),
            )
            on_photographs = metrics_of(rule, classes, photographs, RECALLED["photographs"])
            if not UNSURE[0] <= on_photographs["unsure"] <= UNSURE[1]:
                continue
            on_majority = metrics_of(rule, classes, majority_set, RECALLED["majority"])
            value = sum(each[name] for each in (on_photographs, on_majority) for name in ("accuracy", "recall"))
            if best is None or value > best[0]:
                best = (value, rule)
    if best is None:
        raise ValueError("no rule of the grid leaves so many photographs unsure")
    return best[1]


def photographs_in(folder: Path, predictor: Predictor) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.str_]]:
    """The largest face of each photograph as crops, and what it shows; photographs without a face are left out."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    reader = FaceReader(predictor)
    crops, truth = [], []
    for row in rows:
        rgb = upright_rgb(open_image(folder / row["path"]))
        if found := reader.detect(rgb):
            crops.append(reader.crop(rgb, found[:1])[0])
            truth.append(row["label"])
    return np.stack(crops), np.array(truth)


def majority_of(predictor: Predictor, data: Dataset) -> Measured:
    """The validation images that FER+'s protocol counts."""
    validation = data.of_split("validation")
    found = majority(check_votes(validation), validation.vote_classes)
    counted = np.flatnonzero(found >= 0)
    images = np.asarray(validation.images)[counted]
    truth = np.array(validation.vote_classes)[found[counted]]
    return Measured(FaceReader(predictor.with_output(OUTPUT)).classify_found(images), truth)


def write(rule: AnswerRule, name: str) -> None:
    """Put a rule into both forms of a shipped model, and what changes by it into its card."""
    folder = SHIPPED / name
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    drawn = render_faces(np.arange(7), seed=7)
    for file in (folder / "model.onnx", folder / "model.int8.onnx"):
        replace_manifest(file, read_manifest(file).model_copy(update={"answer": rule}))
        card["sha256"][file.name] = file_sha256(file)
        card["bytes"][file.name] = file.stat().st_size
        card["answers"][file.name] = np.round(Predictor(file).probabilities(drawn), 7).tolist()
    write_text(folder / "card.json", json.dumps(card, indent=1) + "\n")


def main() -> None:
    """Read the command line, choose and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    wanted = parser.parse_args()
    data = load_dataset(wanted.data, size_px=48)
    train = data.of_split("train")
    prior = vote_probabilities(check_votes(train)).mean(axis=0)
    crops, truth = photographs_in(wanted.photos, Predictor(SHIPPED / wanted.names[0] / "model.onnx"))
    for name in wanted.names:
        predictor = Predictor(SHIPPED / name / "model.onnx")
        classes = predictor.with_output(OUTPUT).classes
        # The model's order of classes, and the data's, may differ.
        own = prior[[train.vote_classes.index(each) for each in classes]]
        photographs = Measured(FaceReader(predictor.with_output(OUTPUT)).classify_found(crops), truth)
        sets = {"majority": majority_of(predictor, data), "photographs": photographs}
        rule = choose(own, classes, sets["majority"], photographs)
        write(rule, name)
        for kind, of in sets.items():
            found = metrics_of(rule, classes, of, RECALLED[kind])
            shown = ", ".join(f"{key} {value:.1%}" for key, value in found.items())
            sys.stdout.write(f"{name}, {kind} ({len(of.truth):,}): {shown}\n")
        sys.stdout.write(f"{name}: strength {rule.strength:g}, unsure below {rule.unsure_below:g}\n")
    write_text(PAGE, page())


if __name__ == "__main__":
    main()
