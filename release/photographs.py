"""Give shipped models an output of their own for photographs: ``photographs``, from which the default answer is made.

    python release/photographs.py default fast --data fer2013_dev.parquet --photos FOLDER --faces faces.parquet

It is a last layer on the network's features, as ``perceived`` is, which it starts from. Everything else of the file
stays as it is, so ``perceived`` and the label read what they read before. It learns from readings of photographs'
faces: those of FOLDER (readings.csv: path, label, reading1, reading2; the largest face of each), those of faces.parquet
(image, box, readings), and from the votes on faces of FER2013. Readings were made twice, blind, by a machine that looks
at pictures; they agree on 80 to 84%. Weights and the penalty were chosen in five-fold cross-validation on FOLDER,
near-copies in one fold. What is printed is from the folds held out.

The rule (mien.base.heads.AnswerRule) has the prior of the train split's votes, how much of it is taken out, a
weight for "sad", a probability below which the answer is "unsure", and a margin: expressions less than this behind the
first are told as alternatives. All but the prior are chosen on two sets together: PublicTest's FER+ majority, and
the photographs of FOLDER on which both readings agree, as predicted for the folds held out.

A rule may leave 3 to 6% of the photographs unsure, and cost at most 3 points of accuracy by the majority. Its margin is
the least by which 85% of its firm answers on the photographs are right, where a firm answer is neither unsure nor tied;
at least 70% must be firm. Where no margin reaches both, it is the one with 70% firm that has the most of them right.
The rule with the highest mean of four metrics wins: accuracy and mean recall on both sets, where an unsure answer is a
wrong one. Rules whose firm answers reach the 85% go before others. "contempt" always has half its weight: it is
answered only where it is twice as likely as the next.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pyarrow.parquet
import torch
from model_card import PAGE, facts_of_files, page
from onnx import helper, numpy_helper
from scipy.optimize import minimize

from mien.api.evaluate import evaluate
from mien.base.files import write_bytes, write_text
from mien.base.heads import AnswerRule, VotesHead, decide, softmax
from mien.base.images import open_image
from mien.base.labels import NOT_A_FACE_CLASS, canonical_class
from mien.base.model_file import OutputManifest, attach_manifest, read_manifest
from mien.base.preprocess import upright_rgb
from mien.base.run_folder import find_run
from mien.data.dataset import Dataset
from mien.data.read import load_dataset
from mien.data.splits import near_copy_groups
from mien.data.votes import check_votes, vote_probabilities
from mien.evaluation.metrics import majority
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import Predictor
from mien.training import checkpoint

Floats = npt.NDArray[np.float64]
OUTPUT, FROM = "photographs", "perceived"
WEIGHTS = {"folder": 4.0, "faces": 0.5, "fer2013": 0.5}
"""Weight of a face of each source in the loss."""

PENALTY = 3e-3
"""Factor of the squared distance from ``perceived``, times the features' variance."""

COMMAND, COMMAND_DATA = (
    "python release/photographs.py default fast tiny best ",
    "--data fer2013_dev.parquet --photos FOLDER --faces faces.parquet",
)
FOLDS, STEPS, FER_FACES = 5, 60, 12_000


@dataclass
class Faces:
    """Features (N, views, D) and shares of people (N, C) of faces; the crops, and what two readings agree on."""

    features: npt.NDArray[np.float32]
    shares: Floats
    crops: npt.NDArray[np.uint8]
    agreed: npt.NDArray[np.str_]


def of_crops(model: Predictor, crops: npt.NDArray[np.uint8], readings: list[list[str]]) -> Faces:
    """Compute features of crops and of their mirror images."""
    views = [model.features(np.ascontiguousarray(each)) for each in (crops, crops[:, :, ::-1])]
    named = [[canonical_class(reading) for reading in pair] for pair in readings]
    shares = np.array([[pair.count(name) / len(pair) for name in model.classes] for pair in named])
    agreed = np.array([pair[0] if len(set(pair)) == 1 else "" for pair in named])
    return Faces(np.stack(views, axis=1), shares, crops, agreed)


def of_folder(model: Predictor, folder: Path) -> Faces:
    """The largest face of each photograph."""
    with (folder / "readings.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    crops, readings = [], []
    for row in rows:
        found = model.predict(folder / row["path"])
        if found:
            crops.append(found[0].crop)
            readings.append([row["reading1"], row["reading2"]])
    return of_crops(model, np.stack([crop for crop in crops if crop is not None]), readings)


def of_parquet(model: Predictor, file: Path) -> Faces:
    """The faces of a parquet file that are found where their box is."""
    table = pyarrow.parquet.read_table(file, columns=["image", "box", "readings"]).to_pydict()
    reader, crops, readings = FaceReader(model), [], []
    for image, box, pair in zip(table["image"], table["box"], table["readings"], strict=True):
        rgb = upright_rgb(open_image(image if isinstance(image, bytes) else image["bytes"]))
        x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
        for face in reader.detect(rgb):
            left, top, right, bottom = face.box.xyxy
            if left < x < right and top < y < bottom:
                crops.append(reader.crop(rgb, [face])[0])
                readings.append(pair)
                break
    return of_crops(model, np.stack(crops), readings)


def fitted(parts: list[tuple[Faces, float]], start: Floats) -> Floats:
    """Fit a last layer, (C, D + 1) with the bias last, by L-BFGS on cross-entropy and the distance from ``start``."""
    inputs, targets, weights = [], [], []
    for faces, weight in parts:
        for view in range(faces.features.shape[1]):
            inputs.append(faces.features[:, view])
            targets.append(faces.shares)
            weights.append(np.full(len(faces.shares), weight / faces.features.shape[1]))
    x = np.concatenate(inputs).astype(np.float32)
    x = np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1)
    y, share = np.concatenate(targets).astype(np.float32), np.concatenate(weights).astype(np.float32)
    share /= share.sum()
    penalty = np.full(start.shape, PENALTY * float(x[:, :-1].std(axis=0).mean()) ** 2)
    penalty[:, -1] = 0

    def loss(flat: Floats) -> tuple[float, Floats]:
        change = flat.reshape(start.shape)
        scores = x @ (start + change).T.astype(np.float32)
        scores -= scores.max(axis=1, keepdims=True)
        raised = np.exp(scores)
        p = raised / raised.sum(axis=1, keepdims=True)
        value = -float((share * (y * np.log(p + 1e-12)).sum(axis=1)).sum()) + float((penalty * change**2).sum())
        slope = ((p - y) * share[:, np.newaxis]).T @ x + 2 * penalty * change
        return value, slope.astype(np.float64).ravel()

    found = minimize(loss, np.zeros(start.size), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return start + found.x.reshape(start.shape)


def shares_of(layer: Floats, features: npt.NDArray[np.float32]) -> Floats:
    """Mean probabilities (N, C) over the views of each face."""
    views = [softmax(features[:, view] @ layer[:, :-1].T + layer[:, -1]) for view in range(features.shape[1])]
    return np.asarray(np.mean(views, axis=0))


def start_of(name: str, model: Predictor) -> Floats:
    """The weights and bias of ``perceived``, divided by its temperature."""
    tensors, facts = checkpoint.load(find_run(name).best)
    rows = [index for index, (output, _) in enumerate(checkpoint.head_rows(facts)) if output == FROM]
    weight, bias = (tensors[f"head.{part}"].double().numpy()[rows] for part in ("weight", "bias"))
    return np.concatenate([weight, bias[:, np.newaxis]], axis=1) / model.output.temperature


STRENGTHS = np.arange(0, 0.61, 0.05)
SAD_WEIGHTS = np.arange(1, 2.01, 0.1)
THRESHOLDS = np.arange(0.2, 0.56, 0.01)
MARGINS = np.arange(0, 0.41, 0.01)
UNSURE = (0.03, 0.06)
"""Share of the photographs that may be unsure."""

FIRM, FIRM_RIGHT = 0.7, 0.85
"""Share of the photographs that must get a firm answer, and share of the firm answers that should be right."""

CONTEMPT_WEIGHT = 0.5

MAX_LOSS = 0.03
"""Percentage points of the accuracy by the majority vote, with no answer unsure."""

RECALLED = {
    "photographs": ("neutral", "happy", "surprise", "sad", "angry"),
    "majority": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear"),
}
"""Over which classes recall is averaged: of the photographs' other two there are few."""


@dataclass(frozen=True)
class Measured:
    """One set of faces: shares of people float64 (N, V) by a model, and what each face shows, str (N,)."""

    shares: Floats
    truth: npt.NDArray[np.str_]


class Answers:
    """The most probable answers for a set, by a rule's strength and weights; its limits are given later."""

    def __init__(self, rule: AnswerRule, classes: tuple[str, ...], of: Measured, recalled: tuple[str, ...]) -> None:
        head = VotesHead(OUTPUT, "logits", classes, 1.0, "votes").under(rule)
        probabilities = head.shown(of.shares)
        answers = np.array(head.classes)[decide(probabilities, head.classes).top]
        self._right, self._is_face = answers == of.truth, answers != NOT_A_FACE_CLASS
        self._of_class = [of.truth == name for name in recalled if (of.truth == name).any()]
        others, self._highest = probabilities.copy(), probabilities.max(axis=1)
        others[:, [name == NOT_A_FACE_CLASS for name in head.classes]] = 0
        others[np.arange(len(others)), probabilities.argmax(axis=1)] = 0
        self._lead = self._highest - others.max(axis=1)

    def metrics(self, unsure_below: float, margin: float) -> dict[str, float]:
        """Accuracy, mean recall, the shares of unsure and of firm answers, and how many firm ones are right."""
        unsure = self._is_face & (self._highest < unsure_below)
        right, firm = self._right & ~unsure, ~unsure & (~self._is_face | (self._lead >= margin))
        return {
            "accuracy": float(right.mean()),
            "recall": float(np.mean([right[rows].mean() for rows in self._of_class])),
            "unsure": float(unsure.mean()),
            "firm": float(firm.mean()),
            "firm right": float(right[firm].mean()) if firm.any() else 0.0,
        }

    def best_margin(self, unsure_below: float) -> tuple[float, float]:
        """How many firm answers are right at the margin that a rule gets, and this margin."""
        best = (-1.0, 0.0)
        for margin in MARGINS.round(2).tolist():
            metrics = self.metrics(unsure_below, margin)
            if metrics["firm"] < FIRM:
                break
            best = max(best, (metrics["firm right"], margin), key=lambda pair: pair[0])
            if best[0] >= FIRM_RIGHT:
                break
        return best


def choose(prior: Floats, classes: tuple[str, ...], majority_set: Measured, photographs: Measured) -> AnswerRule:
    """The best rule of the grid. Raises ValueError where none leaves so many photographs unsure."""
    base = AnswerRule(output=OUTPUT, prior=tuple(np.round(prior, 5).tolist()), strength=0.0, unsure_below=0.0)
    least = Answers(base, classes, majority_set, RECALLED["majority"]).metrics(0.0, 0.0)["accuracy"] - MAX_LOSS
    found: list[tuple[bool, float, AnswerRule]] = []
    for strength, sad in itertools.product(STRENGTHS.round(2).tolist(), SAD_WEIGHTS.round(2).tolist()):
        weights = {name: at for name, at in (("sad", sad), ("contempt", CONTEMPT_WEIGHT)) if name in classes}
        rule = base.model_copy(update={"strength": strength, "weights": weights})
        on_majority = Answers(rule, classes, majority_set, RECALLED["majority"])
        if on_majority.metrics(0.0, 0.0)["accuracy"] < least:
            continue
        on_photographs = Answers(rule, classes, photographs, RECALLED["photographs"])
        for threshold in THRESHOLDS.round(2).tolist():
            both = (on_photographs.metrics(threshold, 0.0), on_majority.metrics(threshold, 0.0))
            if UNSURE[0] <= both[0]["unsure"] <= UNSURE[1]:
                firm_right, margin = on_photographs.best_margin(threshold)
                total = sum(each["accuracy"] + each["recall"] for each in both)
                limits = {"unsure_below": threshold, "margin": margin}
                found.append((firm_right >= FIRM_RIGHT, total, rule.model_copy(update=limits)))
    if not found:
        raise ValueError("no rule of the grid leaves so many photographs unsure")
    return max(found, key=lambda candidate: candidate[:2])[2]


def write(name: str, layer: Floats, rule: AnswerRule, classes: tuple[str, ...]) -> None:
    """Add the output to both files and the weights. The recipe stays that of training."""
    run = find_run(name)
    for file in (run.model, run.model_int8):
        graph = onnx.load(file)
        kept = [node for node in graph.graph.node if f"logits_{OUTPUT}" not in node.output]
        old = [each for each in graph.graph.initializer if each.name.startswith(f"heads.{OUTPUT}")]
        for each in old:
            graph.graph.initializer.remove(each)
        outputs = [each for each in graph.graph.output if each.name != f"logits_{OUTPUT}"]
        parts = {"weight": layer[:, :-1], "bias": layer[:, -1]}
        graph.graph.initializer.extend(
            numpy_helper.from_array(value.astype(np.float32), f"heads.{OUTPUT}.{part}") for part, value in parts.items()
        )
        names = ["features", *(f"heads.{OUTPUT}.{part}" for part in parts)]
        kept.append(helper.make_node("Gemm", names, [f"logits_{OUTPUT}"], transB=1))
        batch = outputs[0].type.tensor_type.shape.dim[0].dim_param
        outputs.append(helper.make_tensor_value_info(f"logits_{OUTPUT}", 1, [batch, len(classes)]))
        for field, values in (("node", kept), ("output", outputs)):
            getattr(graph.graph, field).__delitem__(slice(None))
            getattr(graph.graph, field).extend(values)
        manifest = read_manifest(file)
        described = OutputManifest(classes=classes, target="votes")
        changed = manifest.model_copy(update={"outputs": {**manifest.outputs, OUTPUT: described}, "answer": rule})
        write_bytes(file, attach_manifest(graph.SerializeToString(), changed))
    tensors, facts = checkpoint.load(run.best)
    facts["outputs"][OUTPUT] = {"classes": list(classes), "target": "votes"}
    count = len(checkpoint.head_rows(facts)) - len(classes)
    for part, value in (("weight", layer[:, :-1]), ("bias", layer[:, -1])):
        tensor = tensors[f"head.{part}"][:count]
        tensors[f"head.{part}"] = torch.cat([tensor, torch.tensor(value).to(tensor)])
    checkpoint.save(run.best, tensors, facts)


def record(name: str, data: Path) -> None:
    """Write what changed with a shipped model's answer into its card and its metrics."""
    folder = find_run(name)
    card_file = folder.path / "card.json"
    card = json.loads(card_file.read_text(encoding="utf-8")) | facts_of_files(folder)
    card["made_by"] = [step for step in card["made_by"] if not step.startswith(COMMAND)] + [COMMAND + COMMAND_DATA]
    write_text(card_file, json.dumps(card, indent=1) + "\n")
    metrics_file = folder.path / "metrics.json"
    metrics = json.loads(metrics_file.read_text(encoding="utf-8"))
    metrics["answer"] = evaluate(name, data, split="validation").evaluation.to_dict()["answer"]
    write_text(metrics_file, json.dumps(metrics, indent=2) + "\n")


def main() -> None:
    """Read the command line, fit, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    for option in ("--data", "--photos", "--faces"):
        parser.add_argument(option, type=Path, required=True)
    wanted = parser.parse_args()
    data: Dataset = load_dataset(wanted.data, size_px=48)
    train, validation = data.of_split("train"), data.of_split("validation")
    counted = np.flatnonzero((top := majority(check_votes(validation), validation.vote_classes)) >= 0)
    some = np.sort(np.random.default_rng(0).permutation(len(train.labels))[:FER_FACES])
    votes = vote_probabilities(check_votes(train))
    for name in wanted.names:
        model = Predictor(find_run(name).model, threads=1).with_output(FROM)
        classes = model.classes
        own = [train.vote_classes.index(each) for each in classes]
        folder, faces = of_folder(model, wanted.photos), of_parquet(model, wanted.faces)
        images = np.asarray(train.images)[some]
        fer = Faces(model.features(images)[:, np.newaxis], votes[some][:, own], images, np.array([]))
        start = start_of(name, model)
        groups = np.asarray(near_copy_groups(folder.crops))
        order = np.random.default_rng(0).permutation(np.unique(groups))
        fold = np.argsort(order)[np.searchsorted(np.unique(groups), groups)] % FOLDS
        held_out = np.zeros((len(folder.shares), len(classes)))
        others = [(faces, WEIGHTS["faces"]), (fer, WEIGHTS["fer2013"])]
        for number in range(FOLDS):
            rows = fold != number
            part = Faces(folder.features[rows], folder.shares[rows], folder.crops[rows], folder.agreed[rows])
            layer = fitted([(part, WEIGHTS["folder"]), *others], start)
            held_out[~rows] = shares_of(layer, folder.features[~rows])
        layer = fitted([(folder, WEIGHTS["folder"]), *others], start)
        crops = np.asarray(validation.images)[counted]
        truth = np.array(validation.vote_classes)[top[counted]]
        public = of_crops(model, crops, [[each, each] for each in truth])
        agreed = np.flatnonzero(folder.agreed != "")
        sets = {
            "majority": Measured(shares_of(layer, public.features), truth),
            "photographs": Measured(held_out[agreed], folder.agreed[agreed]),
        }
        rule = choose(votes.mean(axis=0)[own], classes, sets["majority"], sets["photographs"])
        for kind, of in sets.items():
            metrics = Answers(rule, classes, of, RECALLED[kind]).metrics(rule.unsure_below, rule.margin)
            shown = ", ".join(f"{key} {value:.1%}" for key, value in metrics.items())
            sys.stdout.write(f"{name}, {kind} ({len(of.truth):,}): {shown}\n")
        sys.stdout.write(f"{name}: {json.dumps(rule.model_dump(exclude={'output', 'prior'}))}\n")
        sys.stdout.flush()
        write(name, layer, rule, classes)
        record(name, wanted.data)
    write_text(PAGE, page())


if __name__ == "__main__":
    main()
