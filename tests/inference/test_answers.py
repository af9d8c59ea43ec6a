"""What a model answers that learned what people would say: in Python, tables and drawings."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

import mien
from mien.base.heads import AnswerRule
from mien.base.labels import EXPRESSIONS, FERPLUS_CLASSES
from mien.base.model_file import attach_manifest, open_model, read_manifest
from mien.base.preprocess import to_input
from mien.inference.face_reader import FaceReader
from mien.inference.prediction import Prediction
from mien.pipeline.split_predictions import votes_of
from support import FIELDS, refused

AFFECT = ("derived_valence", "derived_arousal")


@pytest.fixture(scope="module")
def crops(tmp_path_factory, voted_faces):
    """Eight face crops as files."""
    folder = tmp_path_factory.mktemp("crops")
    for number in range(8):
        Image.fromarray(np.asarray(voted_faces.images[number])).save(folder / f"{number}.png")
    return folder


def said(**shares):
    """A prediction with these shares of people; the rest is spread over all classes."""
    row = np.full(10, (1 - sum(shares.values())) / 10)
    for name, share in shares.items():
        row[FERPLUS_CLASSES.index(name.replace("_", "-"))] += share
    return Prediction("x", FERPLUS_CLASSES, row, output="perceived", perceived=True)


@pytest.mark.parametrize(
    ("shares", "answer", "text", "alternatives"),
    [({"happy": 0.9}, "happy", "happy 91%", []), ({"happy": 0.5, "sad": 0.41}, "happy", "happy or sad", ["sad"]),
     ({"happy": 0.49, "sad": 0.48}, "unsure", "unsure", ["sad"]), ({"unknown": 0.9}, "unsure", "unsure", []),
     ({"unknown": 0.5, "happy": 0.5}, "happy", "happy 50%", []),
     ({"not_a_face": 0.4, "happy": 0.3, "sad": 0.3}, "not-a-face", "not-a-face", []),
     ({"not_a_face": 0.3, "happy": 0.4, "sad": 0.3}, "unsure", "unsure", [])],
)  # fmt: skip
def test_the_answer_follows_the_rule(shares, answer, text, alternatives):
    """Oracle: docs/predict.md, by hand."""
    prediction = said(**shares)
    unsure, not_a_face = answer == "unsure", answer == "not-a-face"
    assert (prediction.answer, prediction.text) == (answer, text)
    assert (prediction.unsure, prediction.not_a_face) == (unsure, not_a_face)
    assert prediction.in_doubt == bool(unsure or alternatives)
    content = prediction.to_dict()
    assert (content["unsure"], content["not_a_face"], content["alternatives"]) == (unsure, not_a_face, alternatives)


def test_a_failing_property_of_a_prediction_is_no_empty_value(monkeypatch):
    monkeypatch.setattr(Prediction, "in_doubt", property(lambda self: self.missing))
    with pytest.raises(AttributeError, match="missing"):
        said(happy=0.9).to_dict()


def test_what_people_would_say_is_the_default(voted_run, voted_faces):
    """Oracle: the graph's logits, asked by hand."""
    images = np.asarray(voted_faces.images[:8])
    session, manifest = open_model(voted_run.model)
    fer2013, perceived = session.run(["logits", "logits_perceived"], {"images": to_input(images, manifest.input)})
    logits, model = {"fer2013": fer2013, "perceived": perceived}, mien.load(voted_run.path)
    assert (model.output.name, model.classes) == ("perceived", FERPLUS_CLASSES)
    for name, found in (("perceived", model), ("fer2013", mien.load(voted_run.path, output="fer2013"))):
        divided = logits[name].astype(np.float64) / manifest.output(name).temperature
        shares = np.exp(divided) / np.exp(divided).sum(axis=1, keepdims=True)
        assert np.allclose(found.probabilities(images), shares, atol=1e-6)
        assert [each.output for each in found.predict_crops(list(images))] == [name] * 8
    assert model.with_output("fer2013").classes == model.for_labels().classes == voted_faces.classes
    assert model.output.name == "perceived", "another output is another object"


RULE = {"output": "perceived", "prior": [0.4, 0.3, 0.1, 0.1, 0.04, 0.01, 0.02, 0.01, 0.015, 0.005], "strength": 0.5}


def with_rule(run, file, **rule):
    """A copy of a run's model with a rule for the answer."""
    answer = AnswerRule.model_validate(RULE | {"unsure_below": 0.4} | rule)
    manifest = read_manifest(run.model).model_copy(update={"answer": answer})
    file.write_bytes(attach_manifest(run.model.read_bytes(), manifest))
    return file


def test_the_answer_of_a_rule_is_the_default_everywhere(mien, voted_run, voted_faces, crops, tmp_path):
    """Oracle: the rule, applied to the shares of people that the output ``perceived`` still gives."""
    from mien import load

    file, images = with_rule(voted_run, tmp_path / "ruled.onnx"), np.asarray(voted_faces.images[:8])
    model = load(file)
    assert (model.output.name, "unknown" in model.classes) == ("answer", False)
    shares = load(file, output="perceived").probabilities(images)
    assert np.array_equal(shares, load(voted_run.path).probabilities(images))
    assert np.allclose(model.probabilities(images), model.output.shown(shares))
    assert model.with_output("perceived").with_output(None).output == model.output
    assert pickle.loads(pickle.dumps(model)).output == model.output
    expected = [each.to_dict() for each in model.predict_crops(crops)]
    assert json.loads(mien("predict", "--crops", crops, "--model", file, "--json").out) == expected
    assert {each["output"] for each in expected} == {"answer"}
    assert json.loads(mien("info", file, "--json").out)["answer"]["strength"] == 0.5
    words = " ".join(mien("info", file).out.split())
    assert "answer: prior in training neutral 40%, happy 30%, surprise 10%" in words
    assert "contempt 1%" in words
    assert FaceReader(model).answers == (*FERPLUS_CLASSES[:8], "unsure", "not-a-face")


def test_the_rule_says_from_which_probability_it_answers(voted_run, voted_faces, tmp_path):
    images = list(np.asarray(voted_faces.images[:8]))
    for limit, doubtful in ((0.0, set()), (0.999, {"unsure", "not-a-face"})):
        model = mien.load(with_rule(voted_run, tmp_path / f"{limit}.onnx", unsure_below=limit, margin=0.0))
        answers = {each.answer for each in model.predict_crops(images)}
        assert answers <= doubtful if doubtful else "unsure" not in answers
    model = mien.load(with_rule(voted_run, tmp_path / "ruled.onnx"))
    found = votes_of(model, voted_faces)
    assert (found.output, found.classes) == ("perceived", FERPLUS_CLASSES)
    assert model.manifest.measured_output == model.manifest.output("perceived")


def test_a_model_of_labels_alone_is_as_it_was(tiny_run, faces, voted_run, voted_faces):
    model = mien.load(tiny_run.path)
    assert (model.output.name, model.classes) == (None, faces.classes)
    assert np.array_equal(model.probabilities(faces.images[:4]), model.for_labels().probabilities(faces.images[:4]))
    (prediction,) = model.predict_crops([np.asarray(faces.images[0])])
    assert list(prediction.to_dict()) == ["source", *FIELDS, "probabilities"]
    # Probabilities of merged classes are no shares of people: no face is unsure by them.
    reader = FaceReader(mien.load(voted_run.path), classes="binary")
    (row,) = reader.classify(np.asarray(voted_faces.images[:1]))
    prediction = reader.prediction("x", row, None)
    assert (prediction.unsure, prediction.answer) == (None, prediction.top)
    assert reader.fields == ("output", *FIELDS)


def test_all_forms_of_the_command_say_the_same(mien, voted_run, crops, tmp_path):
    """Oracle: Predictor.predict."""
    import csv
    import io

    import pyarrow.parquet as parquet

    from mien import load

    asked = ("predict", "--crops", crops, "--model", voted_run.path)
    expected = [each.to_dict() for each in load(voted_run.path).predict_crops(crops)]
    assert json.loads(mien(*asked, "--json").out) == expected
    rows = list(csv.DictReader(io.StringIO(mien(*asked, "--csv").out)))
    head = ["source", "output", *FIELDS, "unsure", "not_a_face"]
    head += [*AFFECT, *FERPLUS_CLASSES]
    assert list(rows[0]) == head
    assert [row["unsure"] for row in rows] == [str(each["unsure"]).lower() for each in expected]
    for suffix in (".csv", ".parquet", ".jsonl"):
        assert mien(*asked, "--out", tmp_path / f"x{suffix}").code == 0
    table = parquet.read_table(tmp_path / "x.parquet")
    assert (table.column_names, table["unsure"].to_pylist()) == (head, [each["unsure"] for each in expected])
    assert (tmp_path / "x.csv").read_text() == mien(*asked, "--csv").out
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [line["not_a_face"] for line in lines] == [each["not_a_face"] for each in expected]


def test_the_command_answers_by_another_output(mien, voted_run, tiny_run, crops, tmp_path):
    asked = ("predict", "--crops", crops / "0.png", "--model", voted_run.path)
    (found,) = json.loads(mien(*asked, "--output", "fer2013", "--json").out)
    assert list(found) == ["source", "output", *FIELDS, "probabilities"]
    assert (found["output"], tuple(found["probabilities"])) == ("fer2013", EXPRESSIONS)
    refused(mien(*asked, "--output", "percieved"), "output-unknown", "perceived")
    unnamed = mien("predict", crops, "--model", tiny_run.path, "--output", "perceived")
    refused(unnamed, "output-unknown")
    assert "Known: ." not in unnamed.err, "of a model without names none is known"
    # One epoch teaches nothing: nobody agrees on anything.
    lines = mien("predict", "--crops", crops, "--model", voted_run.path).out.splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["unsure"] * 8
    written = mien("predict", "--crops", crops, "--model", voted_run.path, "--out", tmp_path / "x.csv").out
    assert written.endswith("8 faces classified; 8 unsure\n")


@pytest.mark.parametrize("output", ["perceived", "fer2013"])
def test_explanations_are_of_the_output_that_answers(voted_run, voted_faces, output):
    """Oracle: the same model's prediction for the same crop."""
    model, face = mien.load(voted_run.path, output=output), np.asarray(voted_faces.images[0])
    (explained,) = mien.explain(model, [face], method="occlusion", crops=True)
    (predicted,) = model.predict_crops([face])
    assert explained.prediction.classes == predicted.classes
    assert explained.prediction.probabilities == pytest.approx(predicted.probabilities)
