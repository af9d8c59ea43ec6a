"""The functions of ``import mien``, on rendered faces. Oracles: the command line, the files, NumPy."""

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import mien
import mien as package
from mien.api.plots import pca
from mien.base.errors import RunError, StudyError
from mien.base.labels import colour_of, parse_scheme
from mien.base.run_folder import SHIPPED
from mien.data.clean import read_clean
from mien.evaluation.predictions import Predictions
from support import raises, ran, refused

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_ten_lines_run(face_folder, tmp_path, monkeypatch):
    """Every line as it stands in README, on rendered faces and for one epoch."""
    (code,) = (block for block in re.findall(r"```py\n(.*?)```", README.read_text(), re.S) if "mien.train(" in block)
    assert len(code.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    shutil.copytree(face_folder, "my_faces")
    exec(code.replace("epochs=10", "epochs=1").replace('"default"', '"fast"'), {})
    assert Path("confusion.svg").is_file()
    assert "Confusion matrix" in Path("report/report.html").read_text()
    assert not Path("runs/tuned/test_ledger.jsonl").exists()


def test_evaluation_replaces_no_run_and_no_other_evaluation(tiny_run, own_run, tmp_path):
    """Oracle: the files before; a run's own metrics are of the same name."""
    result = package.evaluate_file(tiny_run.predictions("validation"), classes="binary")
    for overwrite in (False, True):
        with raises(RunError, "out-path"):
            result.write(own_run.path, overwrite=overwrite)
    with raises(RunError, "out-path"):
        package.report(own_run.path, out=own_run.path)
    assert (own_run.path / "metrics.json").read_bytes() == (tiny_run.path / "metrics.json").read_bytes()
    pages = [result.write(tmp_path / "out", {"by": "one-of-two"}).read_text(encoding="utf-8")]
    with raises(RunError, "file-exists", "--overwrite"):
        result.write(tmp_path / "out")
    pages.append(result.write(tmp_path / "out", {"by": "two-of-two"}, overwrite=True).read_text(encoding="utf-8"))
    assert ["one-of-two" in page for page in pages] == [True, False]


def test_evaluation_holds_its_matrix_mistakes_and_charts(tiny_run, face_folder, faces, charts):
    """Oracles: counts by NumPy; the files of the folder; scikit-learn's areas."""
    result = package.evaluate(tiny_run.path, face_folder)
    found, table = result.predictions, result.mistakes()
    assert len(table.rows) == (found.probabilities.argmax(1) != found.labels).sum()
    assert [column.name for column in table.columns][:4] == ["file", "sample", "label", "prediction"]
    confidence = [max(row[4:]) for row in table.rows]
    assert confidence == sorted(confidence, reverse=True)
    for file, _, label, prediction, *probabilities in table.rows:
        assert (face_folder / file).parent.name == label != prediction
        assert (face_folder / file).is_file()
        assert prediction == result.classes[int(np.argmax(probabilities))]
    assert package.evaluate_file(tiny_run.predictions("validation")).mistakes().rows[0][0] == ""
    area = roc_auc_score(found.labels == 3, found.probabilities[:, 3])
    assert re.search(rf"happy</text>.*?>{area:.3f}</text>", result.plot_roc().svg, re.DOTALL)
    for chart in (result.plot_reliability(), result.plot_confusion_matrix()):
        assert chart.svg.startswith("<svg")
    assert [row[0] for row in result.per_class().rows[:7]] == list(faces.classes)
    result = package.evaluate(tiny_run.path, face_folder)
    assert result.accuracy.value == np.trace(result.confusion_matrix) / result.confusion_matrix.sum()
    assert "Accuracy" in str(result)
    assert "<table" in result._repr_html_()


def test_a_sheet_shows_faces_of_each_class_and_as_training_does(mien, face_folder, faces, tmp_path, files_of_charts):
    """Oracle: the pixels of the faces in the SVG's images, counted; augmented ones differ."""
    sheet = package.show(face_folder, split="train", faces_per_class=3)
    assert sheet.svg.count("<image") == 3 * len(faces.classes)
    assert all(name in sheet.svg for name in faces.classes)
    assert package.show(face_folder, "quick", faces_per_class=3).svg != package.show(face_folder, faces_per_class=3).svg
    ran(mien("data", "show", face_folder, "--recipe", "quick", "--count", 3, "--out", tmp_path / "faces.png"))
    assert (tmp_path / "faces.png").read_bytes() == package.show(face_folder, "quick", faces_per_class=3).file("png")
    refused(mien("data", "show", face_folder, "--out", tmp_path / "faces.png"), "file-exists", "faces.png")


def test_a_model_compared_with_itself_does_not_differ(tiny_run, faces):
    result = package.compare(tiny_run.path, tiny_run.path, faces)
    assert (result.accuracy.difference.value, result.p_value) == (0, 1)
    assert [result.to_dict()[key] for key in ("first", "second")] == [f"{tiny_run.path} (1)", f"{tiny_run.path} (2)"]
    loaded = package.compare(package.evaluate(tiny_run.path, faces), package.load(tiny_run.path), faces).to_dict()
    assert (loaded["first"], loaded["second"]) == (str(tiny_run.path), tiny_run.read_recipe().name)
    # A run has predictions; a model alone has none.
    assert package.compare(tiny_run.path, tiny_run.path).accuracy.difference.value == 0


@pytest.mark.parametrize("classes", ["good=happy+surprise,bad=sad+angry", "positive=happy,negative=sad", "seven"])
def test_merged_classes_have_a_report_and_are_compared(tiny_run, faces, tmp_path, classes):
    """Oracles: the result's own metrics; the faces of each class, counted. The data has a class that no model knows."""
    labels = np.where(np.arange(len(faces)) % 9 == 0, 7, faces.labels)
    data = replace(faces, labels=labels, classes=(*faces.classes, "contempt"))
    result = package.evaluate(tiny_run.path, data, classes=classes)
    result.write_report(tmp_path / "page")
    assert "0 parameters" not in (tmp_path / "page" / "report.html").read_text(), "its model is left out"
    trained = np.array(data.classes)[data.labels[data.split == "train"]]
    expected = [np.isin(trained, group).sum() for group in parse_scheme(classes).groups.values()]
    for folder in ("page", "folder/report-validation"):
        if folder != "page":
            result.write(tmp_path / "folder")
            package.report(tmp_path / "folder", data=data)
        table = json.loads((tmp_path / folder / "tables" / "class-counts.json").read_text())
        assert [line["train"] for line in table] == expected
    found = package.compare(result, result.predictions, data)
    assert found.accuracy.first == result.accuracy.value
    assert (found.accuracy.difference.value, len(found.faces)) == (0, len(result.predictions))


def test_arrays_train_as_a_folder_does(tmp_path, tiny_recipe, faces, charts):
    """Oracle: the same images as a data set give the same weights to the bit."""
    rebuilt = package.Dataset.from_arrays(
        np.asarray(faces.images), faces.labels, classes=faces.classes, split=faces.split.tolist(), sample_ids=faces.rows
    )
    first = package.train(tiny_recipe, faces, out=tmp_path / "first")
    second = package.train(tiny_recipe, rebuilt, out=tmp_path / "second")
    weights = [(run.run / "best.safetensors").read_bytes() for run in (first, second)]
    assert (weights[0], len(first.history)) == (weights[1], 2)
    assert "<svg" in first._repr_html_()
    assert f"{100 * first.evaluation.accuracy.value:.1f}%" in str(first)
    curves = package.compare(first.run, second.run, faces).plot_learning_curves()
    assert all(str(each.name) in curves.svg for each in (first.run, second.run))


def test_audit_writes_its_findings_once(tmp_path, faces):
    result = package.audit(faces)
    assert result.write(tmp_path / "audit").is_file()
    assert len(read_clean(tmp_path / "audit" / "clean.toml").changes) == len(result.findings.changes)
    assert json.loads((tmp_path / "audit" / "audit.json").read_text()) == json.loads(json.dumps(result.to_dict()))
    with raises(RunError, "file-exists", "clean.toml"):
        result.write(tmp_path / "audit")
    part, said = faces.subset(faces.split != "test"), []
    made = Predictions(part.rows, part.labels, np.eye(len(faces.classes))[part.labels], faces.classes, "all", "")
    package.audit(part, made, notify=said.append)
    assert len(said) == 1


def test_an_explanation_has_the_shape_of_its_face(tiny_run, faces, tmp_path):
    images = list(np.asarray(faces.images[:2]))
    first, second = package.explain(tiny_run.path, images, crops=True)
    assert (first.map.shape, first.target) == ((48, 48), first.prediction.top)
    assert second._repr_png_().startswith(b"\x89PNG")
    maps = package.explain(tiny_run.path, images, ["gradient", "occlusion"], crops=True, out=tmp_path / "maps")
    assert [each.method for each in maps] == ["gradient", "occlusion"] * 2
    assert np.array_equal(maps[1].map, first.map)
    assert len(list((tmp_path / "maps").glob("*_occlusion.png"))) == 2
    with raises(RunError, "file-exists"):
        package.explain(tiny_run.path, images, crops=True, out=tmp_path / "maps")
    assert len(maps.plot().figure.axes[0].images) == 6
    assert len(maps.plot_means().figure.axes[0].images) == 2 * len({each.target for each in maps})


def test_built_in_models_are_listed_and_load():
    models = package.list_models()
    assert [model.name for model in models] == [name + form for name in SHIPPED for form in ("", "-int8")]
    for model in models:
        assert package.load(model.name).for_labels().classes == model.manifest.classes
    assert "quick" in package.list_recipes()


def test_a_callback_gets_the_result_and_stderr_may_be_missing(tmp_path, faces, tiny_recipe, monkeypatch):
    given = []

    class Webhook(package.Callback):
        def on_result(self, result):
            given.append(result)

    result = package.train(tiny_recipe, faces, out=tmp_path / "run", callback=Webhook(), verbose=0)
    assert given == [result]
    # As under pythonw.
    monkeypatch.setattr(sys, "stderr", None)
    assert package.train(tiny_recipe, faces, out=tmp_path / "again").history


def test_study_trains_once_and_reads_finished_runs(face_folder, tmp_path, capfd, tiny_recipe_text):
    (tmp_path / "tiny.toml").write_text(tiny_recipe_text)
    file = tmp_path / "two.toml"
    file.write_text(
        'name = "two"\ntitle = "Two"\nrecipe = "tiny.toml"\nmetrics = ["accuracy", "recall.positive"]\n'
        '[[variants]]\nname = "a"\n[[variants]]\nname = "b"\nset = { optim.lr = 0.001 }\n'
        '[[variants]]\nname = "c"\nafter = "b"\nclasses = "binary"\n'
    )
    study_file = file
    out, settings = tmp_path / "out", {"epochs": np.int64(1), "class_weights": {"sad": 2.0}}
    table = package.study(study_file, face_folder, out=out, settings=settings)
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines if "epoch kept 1 of 1" in line] == ["a, seed 0", "b, seed 0"]
    assert ([row.metrics["accuracy"].runs for row in table.rows], table.page) == ([1, 1, 1], out / "report.html")
    assert not table.was_stopped
    # Only finished runs count, and none is trained.
    again = package.study(study_file, face_folder, out=out, settings=settings, finished=True, verbose=0)
    assert (capfd.readouterr().err, again.to_dict()) == ("", table.to_dict())
    # A metric may be of a class that only a variant which is left out has.
    package.study(study_file, face_folder, out=out, settings=settings, only=["a"], finished=True, verbose=0)
    study_file.write_text(study_file.read_text().replace("positive", "positiv"))
    with raises(StudyError, "study-value", "positiv"):
        package.study(study_file, face_folder, out=out, settings=settings, only=["a"], finished=True)


def points(chart):
    """Number of points of each group, by the name in the legend."""
    return {each.get_label(): len(each.get_offsets()) for each in chart.figure.axes[0].collections}


def test_pca_equals_scikit_learns():
    decomposition = pytest.importorskip("sklearn.decomposition")
    features = np.random.default_rng(0).normal(size=(40, 6)) * [5, 3, 1, 1, 1, 1]
    assert np.abs(pca(features)) == pytest.approx(np.abs(decomposition.PCA(2).fit_transform(features)), abs=1e-9)
    assert np.array_equal(pca(features), pca(features))


def test_embeddings_are_coloured_by_class_or_mistake_and_limited(tiny_run, faces, monkeypatch):
    part, chart = faces.of_split("validation"), mien.plot_embeddings(tiny_run.path, faces)
    assert points(chart) == {name: int((part.labels == at).sum()) for at, name in enumerate(faces.classes)}
    happy = chart.figure.axes[0].collections[faces.classes.index("happy")]
    from matplotlib.colors import to_rgba

    assert tuple(happy.get_facecolor()[0])[:3] == to_rgba(colour_of("happy", 3))[:3]
    correct = mien.load(tiny_run.path).for_labels().probabilities(part.images).argmax(axis=1) == part.labels
    found = points(mien.plot_embeddings(tiny_run.path, faces, color_by="mistake"))
    assert found == {"correct": correct.sum(), "mistake": (~correct).sum()}
    pytest.importorskip("sklearn")
    assert sum(points(mien.plot_embeddings(tiny_run.path, faces, method="tsne", max_faces=30)).values()) == 30
