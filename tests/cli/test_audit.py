"""`mien audit` and --clean as a user types them: what is printed, what is left on disk, errors in one line."""

import csv
import json
import shutil
import tomllib
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mien.artifact import read_manifest, replace_manifest
from mien.data.clean import Change, Clean, write_clean
from mien.data.parquet import write_parquet
from mien.data.read import load_dataset
from mien.evaluation.predictions import Predictions, write_predictions
from support import note_codes, noted, refused


class Reader(HTMLParser):
    """Addresses that the page would load or lead to and the text."""

    def __init__(self):
        super().__init__()
        self.addresses, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href", "srcset"}]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory, face_folder):
    """The rendered faces as folders, of mixed sizes, with a leak, a copy, a broken file and a nasty class."""
    root = tmp_path_factory.mktemp("own") / "faces"
    shutil.copytree(face_folder, root)
    happy = sorted((root / "train" / "happy").iterdir())
    shutil.copy(happy[0], root / "validation" / "happy" / "leak.png")
    shutil.copy(happy[1], root / "train" / "happy" / "zcopy.png")
    (root / "train" / "sad" / "broken.png").write_bytes(b"no image")
    Image.fromarray(np.asarray(Image.open(happy[2]))[:, :40]).resize((90, 110)).save(
        root / "train" / "sad" / "wide.png"
    )
    for split in ("train", "validation", "test"):
        (root / split / "neutral").rename(root / split / "<b>bored")
    return root


@pytest.fixture(scope="module")
def parquet(tmp_path_factory, faces):
    path = tmp_path_factory.mktemp("data") / "faces.parquet"
    write_parquet(faces, path)
    return path


def test_ones_own_folders_and_the_list_that_comes_of_them(mien, folder, tmp_path, tiny_run):
    refused(mien("audit", folder, "--out", tmp_path / "out"), "image-unreadable", "broken.png", "--skip-bad")
    assert not (tmp_path / "out").exists()
    answer = mien("audit", folder, "--skip-bad", "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert content["identical"]["groups"] == 2
    assert content["identical"]["leaks"][0] == {"split": "validation", "source": "train", "rows": 1}
    assert "train/sad/broken.png" in content["skipped"][0][0]
    assert "ferplus_votes" in content["not_checked"][0]
    stored = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert stored == {name: value for name, value in content.items() if name not in {"page", "list"}}
    reader = Reader()
    reader.feed((tmp_path / "out" / "audit.html").read_text(encoding="utf-8"))
    assert "<b>bored" in reader.text
    assert not [each for each in reader.addresses if not each.startswith(("#", "data:"))]
    assert any(each.startswith("data:image/png") for each in reader.addresses)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "audit.html", "audit.json", "clean.toml", "figures", "tables",
    }  # fmt: skip
    assert (tmp_path / "out" / "tables" / "copied-samples.csv").is_file()
    with (tmp_path / "out" / "tables" / "list-of-changes.csv").open(newline="", encoding="utf-8") as stream:
        in_table = [int(line["row"]) for line in csv.DictReader(stream)]

    file = tmp_path / "out" / "clean.toml"
    listed = tomllib.loads(file.read_text(encoding="utf-8"))
    assert in_table == [line["row"] for lines in listed.values() if isinstance(lines, list) for line in lines]
    by_kind = {line["kind"]: line for line in listed["drop"]}
    assert by_kind["leak"]["source"].startswith("train/happy/")
    assert by_kind["copy"]["source"] == "train/happy/zcopy.png"
    before = load_dataset(folder, skip_bad=True)
    info = mien("data", "info", folder, "--skip-bad", "--clean", file, "--json")
    assert info.code == 0, info.err
    content = json.loads(info.out)
    assert content["faces"] == len(before) - len(listed["drop"])
    assert f"dropped {len(listed['drop'])} of train" in info.err
    assert content["fingerprint"] != before.fingerprint
    renamed = ("--skip-bad", "--map", "<b>bored=neutral", "--clean", file)
    refused(mien("evaluate", tiny_run.path, "--data", folder, *renamed), "clean-other-data", "--map")
    again = mien("audit", folder, "--skip-bad", "--clean", file, "--out", tmp_path / "second", "--json")
    assert json.loads(again.out)["identical"]["groups"] == 0


def test_a_clean_list_and_a_model_that_saw_what_it_drops(mien, faces, tiny_run, tmp_path):
    """The model learnt from the data as it was: its leaked row is counted, though the list takes the train copy out."""
    train, validation = (np.flatnonzero(faces.split == split)[0] for split in ("train", "validation"))
    images = np.asarray(faces.images).copy()
    images[validation] = images[train]
    leaky = replace(faces, images=images, labels=faces.labels)
    write_parquet(leaky, tmp_path / "leaky.parquet")
    assert mien("audit", tmp_path / "leaky.parquet", "--out", tmp_path / "out", "-q").code == 0
    arguments = ("evaluate", tiny_run.path, "--data", tmp_path / "leaky.parquet", "--json")
    plain = json.loads(mien(*arguments).out)["subsets"]
    cleaned = json.loads(mien(*arguments, "--clean", tmp_path / "out" / "clean.toml").out)["subsets"]
    rows = int((faces.split == "validation").sum())
    assert [part["count"] for part in plain[:2]] == [part["count"] for part in cleaned[:2]] == [rows, rows - 1]
    shown = mien("evaluate", tiny_run.path, "--data", tmp_path / "leaky.parquet", "--out", tmp_path / "ev")
    assert "without leaked samples" in shown.out
    assert "without leaked samples" in (tmp_path / "ev" / "report.html").read_text(encoding="utf-8")
    assert [part["count"] for part in json.loads((tmp_path / "ev" / "metrics.json").read_text())["subsets"]][
        1
    ] == rows - 1
    short = ("--no-explain", "--no-features")
    report = mien("report", tmp_path / "ev", "--data", tmp_path / "leaky.parquet", *short, "--out", tmp_path / "rep")
    assert report.code == 0, report.err
    assert (tmp_path / "rep" / "tables" / "without-copies.csv").is_file()


def test_rows_seen_before_are_those_of_every_model_and_of_the_report_too(mien, faces, tiny_run, tmp_path):
    """One model learnt from the data as it was, one from the cleaned data; the train copy of a row is dropped."""
    train, validation = (np.flatnonzero(faces.split == split)[0] for split in ("train", "validation"))
    images = np.asarray(faces.images).copy()
    images[validation] = images[train]
    data, clean = tmp_path / "leaky.parquet", tmp_path / "out" / "clean.toml"
    write_parquet(replace(faces, images=images), data)
    assert mien("audit", data, "--out", tmp_path / "out", "-q").code == 0
    cleaned = json.loads(mien("data", "info", data, "--clean", clean, "--json").out)["fingerprint"]
    learnt_cleaned = tmp_path / "run-of-cleaned"
    shutil.copytree(tiny_run.path, learnt_cleaned)
    file = learnt_cleaned / "model.onnx"
    replace_manifest(file, read_manifest(file).model_copy(update={"data_fingerprint": cleaned}))
    rows = int((faces.split == "validation").sum())
    names = {"raw": [tiny_run.path], "cleaned": [learnt_cleaned], "both": [learnt_cleaned, tiny_run.path]}
    for name, models in names.items():
        options = ("--data", data, "--clean", clean)
        answer = mien("evaluate", *models, *options, "--out", tmp_path / name, "--json")
        assert answer.code == 0, answer.err
        counts = [part["count"] for part in json.loads(answer.out)["subsets"]]
        assert counts[:2] == [rows, rows if name == "cleaned" else rows - 1], name
        own = ("--model", *models) if len(models) == 1 else ()
        report = mien("report", tmp_path / name, *own, *options, "--no-explain", "--no-features")
        assert report.code == 0, report.err
        table = tmp_path / name / "report-validation" / "tables" / "without-copies.json"
        assert [line["samples"] for line in json.loads(table.read_text())] == counts, name
        page = (tmp_path / name / "report-validation" / "report.html").read_text(encoding="utf-8")
        assert sha256(clean.read_bytes()).hexdigest() in page


def test_a_faulty_line_is_told_with_the_name_of_its_list(mien, faces, tmp_path):
    data, mine = tmp_path / "faces.parquet", tmp_path / "mine.toml"
    write_parquet(faces, data)
    at = np.flatnonzero((faces.split == "train") & (faces.labels == faces.classes.index("fear")))[0]
    line = {"row": int(faces.rows[at]), "split": "train", "kind": "doubt", "reason": "", "source": ""}
    for label, to, code, said in (
        ("sad", "happy", "clean-row-differs", "fear"),
        ("fear", "hapy", "class-missing", "'happy'"),
    ):
        write_clean(mine, Clean(faces.fingerprint, (Change(label=label, to=to, **line),)))
        refused(mien("data", "info", data, "--clean", mine), code, mine, said)


def test_a_model_trained_on_cleaned_data_is_measured_without_its_temperature_on_the_data_as_it_was(
    mien, faces, tiny_recipe_text, tmp_path
):
    """What it was fitted on is there. Oracle: the data's fingerprint."""
    train, validation = (np.flatnonzero(faces.split == split)[0] for split in ("train", "validation"))
    images = np.asarray(faces.images).copy()
    images[validation] = images[train]
    data, clean, run = tmp_path / "leaky.parquet", tmp_path / "out" / "clean.toml", tmp_path / "run"
    write_parquet(replace(faces, images=images), data)
    recipe_file = tmp_path / "tiny.toml"
    recipe_file.write_text(tiny_recipe_text)
    assert mien("audit", data, "--out", tmp_path / "out", "-q").code == 0
    trained = mien("train", recipe_file, "--data", data, "--clean", clean, "--out", run, "--set", "epochs=1")
    assert trained.code == 0, trained.err
    learnt = replace(faces, images=images).fingerprint_without_test
    assert read_manifest(run / "model.onnx").cleaned_from == (learnt,)
    assert learnt in mien("info", run).out.replace("\n", "").replace(" ", "")
    measured = mien("evaluate", run, "--data", data)
    assert "without the model's temperature, which was fitted on these samples" in " ".join(measured.out.split())


def test_the_ledger_names_the_list_that_a_test_score_was_made_under(mien, tiny_run, parquet, tmp_path):
    run, clean = tmp_path / "run", tmp_path / "out" / "clean.toml"
    shutil.copytree(tiny_run.path, run)
    assert mien("audit", parquet, "--out", tmp_path / "out", "-q").code == 0
    test = ("evaluate", run, "--data", parquet, "--split", "test")
    assert mien(*test).code == mien(*test, "--clean", clean).code == 0
    plain, under = (json.loads(line) for line in (run / "test_ledger.jsonl").read_text().splitlines()[-2:])
    assert not [name for name in plain if name.startswith("clean")]
    assert under["clean"] == str(clean)
    assert under["clean_sha256"] == sha256(clean.read_bytes()).hexdigest()


def test_a_list_made_of_cleaned_data_is_for_the_data_on_disk(mien, folder, tmp_path):
    """The same as the first list and then the second, but for one whose line somebody took out in between."""
    assert mien("audit", folder, "--skip-bad", "--out", tmp_path / "first").code == 0
    first = tmp_path / "first" / "clean.toml"
    lines = first.read_text().splitlines(keepends=True)
    kept_out = next(line for line in lines if "zcopy.png" in line)
    first.write_text("".join(line for line in lines if line != kept_out))
    again = mien("audit", folder, "--skip-bad", "--clean", first, "--out", tmp_path / "second", "--json")
    assert again.code == 0, again.err
    content = json.loads(again.out)
    second = tomllib.loads((tmp_path / "second" / "clean.toml").read_text())
    before = tomllib.loads("".join(lines))
    assert second["data_fingerprint"] == before["data_fingerprint"]
    assert {line["row"] for line in second["drop"]} == {line["row"] for line in before["drop"]}
    assert sum(sum(of.values()) for of in content["changes"].values()) == len(second["drop"] + second["relabel"])
    used = mien("data", "info", folder, "--skip-bad", "--clean", tmp_path / "second" / "clean.toml", "--json")
    assert json.loads(used.out)["faces"] == content["faces"] - 1, "the line is back"


def test_a_list_is_proved_by_the_faces_at_48_px_whatever_size_is_read(mien, faces, tmp_path):
    """Two pictures of 480 px that differ by one grey level in one pixel are the same picture at 48 px."""
    own, clean, number = tmp_path / "own", tmp_path / "out" / "clean.toml", 0
    for split in ("train", "validation"):
        for name in ("happy", "sad"):
            (own / split / name).mkdir(parents=True)
            for _ in range(6):
                picture = np.kron(np.asarray(faces.images[number]), np.ones((10, 10), dtype=np.uint8))
                Image.fromarray(picture).save(own / split / name / f"{number}.png")
                number += 1
    for name in ("happy", "sad"):
        picture = np.kron(np.asarray(faces.images[number]), np.ones((10, 10), dtype=np.uint8))
        picture[0, 0] ^= name == "sad"
        Image.fromarray(picture).save(own / "validation" / name / "same.png")
    assert mien("audit", own, "--out", tmp_path / "out").code == 0
    listed = tomllib.loads(clean.read_text())["drop"]
    assert [(line["kind"], line["source"]) for line in listed] == [
        ("conflict", "validation/happy/same.png"),
        ("conflict", "validation/sad/same.png"),
    ]
    for size_px in (48, 480):
        target = tmp_path / f"{size_px}.parquet"
        answer = mien("data", "convert", own, "--size-px", size_px, "--clean", clean, "--out", target)
        assert answer.code == 0, answer.err
        assert len(load_dataset(target, size_px=size_px)) == 24
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(clean.read_text().replace('kind = "conflict"', 'kind = "copy"', 1))
    refused(mien("data", "info", own, "--clean", wrong), "clean-drops-measured", "'copy'")


def test_scores_and_a_table_for_a_terminal(mien, parquet, tiny_run, tmp_path):
    answer = mien("audit", parquet, "--predictions", tiny_run.predictions("validation"), "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    for words in ("Copies", "Image quality", "Class balance", "without leaked samples (identical or near)"):
        assert words in answer.out
    for code in ("votes-not-used", "labels-partly-reviewed", "splits-not-compared"):
        assert f"[{code}]" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 120
    assert (tmp_path / "out" / "tables" / "doubtful-labels.csv").is_file()


def test_a_recipe_judges_every_row_but_those_of_test(mien, parquet, faces, tiny_recipe, tmp_path, monkeypatch):
    from mien.pipeline import cross_validation
    from mien.recipe_file import dump_recipe

    monkeypatch.setattr(cross_validation, "FOLDS", 2)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(dump_recipe(tiny_recipe.model_copy(update={"epochs": 1})))
    answer = mien("audit", parquet, "--recipe", recipe, "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert content["labels"]["samples"] == int((faces.split != "test").sum())
    assert "fold 2 of 2" in answer.err
    assert (tmp_path / "out" / "folds" / "predictions_out-of-fold.npz").is_file()


def test_a_recipe_of_another_size_judges_too(mien, face_folder, faces, tiny_recipe, tmp_path, monkeypatch):
    from mien.pipeline import cross_validation
    from mien.recipe_file import dump_recipe

    monkeypatch.setattr(cross_validation, "FOLDS", 2)
    recipe = tmp_path / "small.toml"
    smaller = tiny_recipe.input.model_copy(update={"size_px": 32, "crop_px": 28})
    recipe.write_text(dump_recipe(tiny_recipe.model_copy(update={"epochs": 1, "input": smaller})))
    answer = mien("audit", face_folder, "--recipe", recipe, "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["labels"]["samples"] == int((faces.split != "test").sum())
    assert read_manifest(tmp_path / "out" / "folds" / "fold-1" / "model.onnx").input.size_px == 32


def test_a_recipe_of_another_size_is_told_of_the_data_once(mien, folder, tiny_recipe, tmp_path, monkeypatch):
    """A batch that all train faces would fill is more than a fold has to learn: half of them, less a tenth."""
    from mien.pipeline import cross_validation
    from mien.recipe_file import dump_recipe

    monkeypatch.setattr(cross_validation, "FOLDS", 2)
    train = int((load_dataset(folder, skip_bad=True).split == "train").sum())
    small = tiny_recipe.input.model_copy(update={"size_px": 32, "crop_px": 28})
    (tmp_path / "list.toml").write_text(
        f'version = 1\ndata_fingerprint = "{load_dataset(folder, skip_bad=True).fingerprint}"\n'
    )
    for batch_size, said in ((int(train * 0.45) - 1, False), (int(train * 0.45) + 1, True)):
        recipe, out = tmp_path / "small.toml", tmp_path / str(batch_size)
        update = {"epochs": 1, "input": small, "batch_size": batch_size}
        recipe.write_text(dump_recipe(tiny_recipe.model_copy(update=update)))
        options = ("--skip-bad", "--clean", tmp_path / "list.toml", "--recipe", recipe)
        answer = mien("audit", folder, *options, "--out", out, "--json")
        assert answer.code == 0, answer.err
        lines = answer.err.splitlines()
        assert note_codes(answer.err) == ["image-sizes", *(["batch-too-large"] if said else [])], answer.err
        assert sum(line.startswith("skipped ") for line in lines) == 1
        assert sum("dropped no samples" in line for line in lines) == 1


def test_what_cannot_be_judged_is_said_before_copies_are_looked_for(
    mien, parquet, faces, tiny_run, tiny_recipe, tmp_path, monkeypatch
):
    from mien.cli import audit as command
    from mien.recipe_file import dump_recipe

    def not_yet(*arguments):
        raise AssertionError("copies are looked for already")

    monkeypatch.setattr(command, "find_copies", not_yet)
    out = tmp_path / "out"
    merging, other = tmp_path / "merging.toml", tmp_path / "other.toml"
    merging.write_text(dump_recipe(tiny_recipe.model_copy(update={"classes": "binary"})))
    refused(mien("audit", parquet, "--recipe", merging, "--out", out), "recipe-merges-classes")
    write_parquet(faces.of_split("validation"), tmp_path / "validation.parquet")
    refused(mien("audit", tmp_path / "validation.parquet", "--recipe", "quick", "--out", out), "no-train-split")
    votes = np.full((len(faces), 10), -1)
    write_parquet(replace(faces, columns={"ferplus_votes": votes}), tmp_path / "votes.parquet")
    refused(mien("audit", tmp_path / "votes.parquet", "--out", out), "votes-range", "0")
    others = Predictions(np.arange(4), np.array([0, 1, 0, 1]), np.full((4, 2), 0.5), ("a", "b"), "mine", "")
    write_predictions(tmp_path / "others.npz", others)
    refused(mien("audit", parquet, "--predictions", tmp_path / "others.npz", "--out", out), "classes-differ")
    assert not out.exists()
    other.write_text(dump_recipe(tiny_recipe.model_copy(update={"seed": 8})))
    shutil.copytree(tiny_run.path, out / "folds" / "fold-2")
    refused(mien("audit", parquet, "--recipe", other, "--out", out), "other-recipe", "2")


def test_mistakes_are_one_line_and_leave_nothing(mien, parquet, faces, tiny_run, tmp_path):
    out = tmp_path / "out"
    scores = tiny_run.predictions("validation")
    refused(mien("audit", tmp_path / "none", "--out", out), "data-missing")
    refused(mien("audit", parquet, "--predictions", scores, "--recipe", "quick", "--out", out), "options")
    refused(mien("audit", parquet, "--epochs", 1, "--out", out), "options", "--epochs")
    refused(mien("audit", parquet, "--predictions", tmp_path / "none.npz", "--out", out), "predictions-missing")
    refused(mien("audit", parquet, "--clean", tmp_path / "none.toml", "--out", out), "clean-missing")
    refused(mien("audit", parquet, "--recipe", "quik", "--out", out), "recipe-unknown", "'quik'")
    refused(mien("audit", parquet, "--out", tiny_run.path), "out-is-run")
    other = Predictions(np.arange(4), np.array([0, 1, 0, 1]), np.full((4, 2), 0.5), ("a", "b"), "mine", "")
    write_predictions(tmp_path / "other.npz", other)
    refused(mien("audit", parquet, "--predictions", tmp_path / "other.npz", "--out", out), "classes-differ")
    votes = np.zeros((len(faces), 10), dtype=np.int64)
    votes[5, 2] = -3
    write_parquet(replace(faces, columns={"ferplus_votes": votes}), tmp_path / "votes.parquet")
    refused(mien("audit", tmp_path / "votes.parquet", "--out", out), "votes-range", "5", "0")
    single = tmp_path / "single" / "happy"
    single.mkdir(parents=True)
    Image.fromarray(np.asarray(faces.images[0])).save(single / "a.png")
    refused(mien("audit", tmp_path / "single", "--out", out), "class-count")
    assert not out.exists()


def test_a_list_that_may_be_reviewed_is_not_written_over(mien, parquet, tmp_path):
    (tmp_path / "clean.toml").write_text("mine")
    refused(mien("audit", parquet, "--out", tmp_path), "file-exists", "clean.toml")
    assert (tmp_path / "clean.toml").read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["clean.toml"]


def test_an_option_about_data_needs_data(mien, tiny_run, tmp_path):
    refused(mien("report", tiny_run.path, "--clean", tmp_path / "x"), "options", "--clean")
    crops = tmp_path / "crops"
    crops.mkdir()
    Image.new("L", (48, 48), 90).save(crops / "a.png")
    refused(mien("embed", crops, "--clean", tmp_path / "x", "--out", tmp_path / "v.npz"), "options")


def test_nothing_is_written_into_the_data(mien, faces, tiny_run, tmp_path, monkeypatch):
    """Flat class folders: a folder of pictures beside them is one class more for whoever reads them next."""
    own = tmp_path / "own"
    for number, name in enumerate(("happy", "sad") * 6):
        (own / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(faces.images[number])).save(own / name / f"{number}.png")
    before = load_dataset(own).fingerprint
    (tmp_path / "link").symlink_to(own)
    monkeypatch.chdir(own)
    scores = ("--predictions", tiny_run.predictions("validation"))
    for arguments in (
        ("audit", "."),
        ("audit", own),
        ("audit", own, "--out", own),
        ("audit", own, "--out", tmp_path / "link" / "deep" / "audit"),
        ("report", *scores, "--data", own, "--out", "report"),
        ("compare", *scores, *scores, "--data", own, "--out", "compared"),
        ("study", "transfer", "--data", own),
        ("study", "transfer", "--data", own, "--out", own / "study"),
    ):
        refused(mien(*arguments), "out-in-data", "--out")
    assert sorted(file.name for file in own.iterdir()) == ["happy", "sad"]
    assert load_dataset(own).fingerprint == before
    assert mien("audit", ".", "--out", tmp_path / "beside").code == 0
    beside = tmp_path / "own and more"
    assert mien("audit", own, "--out", beside).code == 0, "a name that begins alike is another folder"


def test_a_reviewed_label_stands_against_a_model_that_doubts_it(mien, faces, parquet, tmp_path):
    """A list turns three train labels; a model that is right about all others says what they were, and is not heard."""
    judged = faces.subset(faces.split != "test")
    sad, happy = (faces.classes.index(name) for name in ("sad", "happy"))
    turned = np.flatnonzero((judged.split == "train") & (judged.labels == happy))[:3]
    logits = np.random.default_rng(0).normal(size=(len(judged), 7))
    logits[np.arange(len(judged)), judged.labels] += 6
    labels = judged.labels.copy()
    labels[turned] = sad
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    write_predictions(
        tmp_path / "s.npz", Predictions(judged.rows, labels, probabilities, faces.classes, "out-of-fold", "")
    )
    lines = [
        f'{{row = {row}, split = "train", label = "happy", to = "sad", kind = "conflict", reason = "r", source = "s"}}'
        for row in judged.rows[turned]
    ]
    first = tmp_path / "first.toml"
    head = f'version = 1\ndata_fingerprint = "{load_dataset(parquet).fingerprint}"\n'
    first.write_text(f"{head}relabel = [{', '.join(lines)}]\n")
    given = ("--predictions", tmp_path / "s.npz", "--clean", first, "--out", tmp_path / "out", "--json")
    answer = mien("audit", parquet, *given)
    assert answer.code == 0, answer.err
    noted(answer, "changes-kept", first)
    second = tomllib.loads((tmp_path / "out" / "clean.toml").read_text())["relabel"]
    of_row = {line["row"]: (line["label"], line["to"], line["kind"]) for line in second}
    assert [of_row[row] for row in judged.rows[turned].tolist()] == [("happy", "sad", "conflict")] * 3
    assert json.loads(answer.out)["labels"]["evidence"] == int((faces.split == "train").sum())
