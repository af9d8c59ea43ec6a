"""`mien audit` and --clean as a user types them: what is printed, what is left on disk, errors in one line."""

import json
import shutil
import tomllib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mien.data.parquet import write_parquet
from mien.data.read import read_faces
from mien.evaluation.scores import Scores, write_scores


def one_line(answer, *parts):
    assert answer.code == 2, answer
    assert answer.out == ""
    lines = answer.err.splitlines()
    assert lines[-1].startswith("mien: "), answer.err
    assert sum(line.startswith("mien: ") for line in lines) == 1
    for part in parts:
        assert part in lines[-1], lines[-1]


class Reader(HTMLParser):
    """Addresses that the page would load or lead to, names of elements, and the text."""

    def __init__(self):
        super().__init__()
        self.addresses, self.elements, self.text = [], set(), ""

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
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
    one_line(mien("audit", folder, "--out", tmp_path / "out"), "broken.png", "--skip-bad")
    assert not (tmp_path / "out").exists()
    answer = mien("audit", folder, "--skip-bad", "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert content["identical"]["groups"] == 2
    assert content["identical"]["leaks"][0] == {"split": "validation", "source": "train", "rows": 1}
    assert "train/sad/broken.png" in content["skipped"][0][0]
    assert "ferplus_votes" in content["left_out"][0]
    stored = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert stored == {name: value for name, value in content.items() if name not in {"page", "list"}}
    reader = Reader()
    reader.feed((tmp_path / "out" / "audit.html").read_text(encoding="utf-8"))
    assert "<b>bored" in reader.text
    assert not [each for each in reader.addresses if not each.startswith(("#", "data:"))]
    assert "script" not in reader.elements
    assert any(each.startswith("data:image/png") for each in reader.addresses)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "audit.html", "audit.json", "clean.toml", "figures", "tables",
    }  # fmt: skip
    assert (tmp_path / "out" / "tables" / "copied-rows.csv").is_file()

    file = tmp_path / "out" / "clean.toml"
    listed = tomllib.loads(file.read_text(encoding="utf-8"))
    by_kind = {line["kind"]: line for line in listed["drop"]}
    assert by_kind["leak"]["source"].startswith("train/happy/")
    assert by_kind["copy"]["source"] == "train/happy/zcopy.png"
    before = read_faces(folder, skip_bad=True)
    info = mien("data", "info", folder, "--skip-bad", "--clean", file, "--json")
    assert info.code == 0, info.err
    content = json.loads(info.out)
    assert content["faces"] == len(before) - len(listed["drop"])
    assert f"dropped {len(listed['drop'])} of train" in info.err
    assert content["fingerprint"] != before.fingerprint
    renamed = ("--skip-bad", "--map", "<b>bored=neutral", "--clean", file)
    one_line(mien("evaluate", "--model", tiny_run.path, "--data", folder, *renamed), "was made for data", "--map")
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
    arguments = ("evaluate", "--model", tiny_run.path, "--data", tmp_path / "leaky.parquet", "--json")
    plain = json.loads(mien(*arguments).out)["subsets"]
    cleaned = json.loads(mien(*arguments, "--clean", tmp_path / "out" / "clean.toml").out)["subsets"]
    rows = int((faces.split == "validation").sum())
    assert [part["count"] for part in plain[:2]] == [part["count"] for part in cleaned[:2]] == [rows, rows - 1]
    shown = mien("evaluate", "--model", tiny_run.path, "--data", tmp_path / "leaky.parquet", "--out", tmp_path / "ev")
    assert "without rows seen before" in shown.out
    assert "without rows seen before" in (tmp_path / "ev" / "report.html").read_text(encoding="utf-8")
    assert [part["count"] for part in json.loads((tmp_path / "ev" / "metrics.json").read_text())["subsets"]][
        1
    ] == rows - 1
    report = mien("report", tmp_path / "ev", "--data", tmp_path / "leaky.parquet", "--out", tmp_path / "rep")
    assert report.code == 0, report.err
    assert (tmp_path / "rep" / "tables" / "without-copies.csv").is_file()


def test_scores_and_a_table_for_a_terminal(mien, parquet, tiny_run, tmp_path):
    answer = mien("audit", parquet, "--scores", tiny_run.scores("validation"), "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    for words in ("Copies", "Bad pictures", "Class shares", "without rows seen before (identical or near)", "note: "):
        assert words in answer.out
    assert max(map(len, answer.out.splitlines())) <= 120
    assert (tmp_path / "out" / "tables" / "doubtful-labels.csv").is_file()


def test_a_recipe_judges_every_row_but_those_of_test(mien, parquet, faces, tiny_recipe, tmp_path, monkeypatch):
    from mien.experiments import out_of_fold
    from mien.recipe import dump_recipe

    monkeypatch.setattr(out_of_fold, "FOLDS", 2)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(dump_recipe(tiny_recipe.model_copy(update={"epochs": 1})))
    answer = mien("audit", parquet, "--recipe", recipe, "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert content["labels"]["rows"] == int((faces.split != "test").sum())
    assert "fold 2 of 2" in answer.err
    assert (tmp_path / "out" / "folds" / "scores_out-of-fold.npz").is_file()


def test_mistakes_are_one_line_and_leave_nothing(mien, parquet, faces, tiny_run, tmp_path):
    out = tmp_path / "out"
    scores = tiny_run.scores("validation")
    one_line(mien("audit", tmp_path / "none", "--out", out), "does not exist")
    one_line(mien("audit", parquet, "--scores", scores, "--recipe", "quick", "--out", out), "one of the two")
    one_line(mien("audit", parquet, "--scores", tmp_path / "none.npz", "--out", out), "no such file")
    one_line(mien("audit", parquet, "--clean", tmp_path / "none.toml", "--out", out), "does not exist")
    one_line(mien("audit", parquet, "--recipe", "quik", "--out", out), "no recipe 'quik'")
    one_line(mien("audit", parquet, "--out", tiny_run.path), "is a run folder")
    other = Scores(np.arange(4), np.array([0, 1, 0, 1]), np.full((4, 2), 0.5), ("a", "b"), "mine", "")
    write_scores(tmp_path / "other.npz", other)
    one_line(mien("audit", parquet, "--scores", tmp_path / "other.npz", "--out", out), "data's own classes")
    votes = np.zeros((len(faces), 10), dtype=np.int64)
    votes[5, 2] = -3
    write_parquet(replace(faces, columns={"ferplus_votes": votes}), tmp_path / "votes.parquet")
    one_line(mien("audit", tmp_path / "votes.parquet", "--out", out), "of row 5", "at least 0")
    single = tmp_path / "single" / "happy"
    single.mkdir(parents=True)
    Image.fromarray(np.asarray(faces.images[0])).save(single / "a.png")
    one_line(mien("audit", tmp_path / "single", "--out", out))
    assert not out.exists()


def test_a_list_that_may_be_reviewed_is_not_written_over(mien, parquet, tmp_path):
    (tmp_path / "clean.toml").write_text("mine")
    one_line(mien("audit", parquet, "--out", tmp_path), "clean.toml exists already")
    assert (tmp_path / "clean.toml").read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["clean.toml"]


def test_an_option_about_data_needs_data(mien, tiny_run, tmp_path):
    one_line(mien("report", tiny_run.path, "--clean", tmp_path / "x"), "--clean is about data")
    crops = tmp_path / "crops"
    crops.mkdir()
    Image.new("L", (48, 48), 90).save(crops / "a.png")
    one_line(mien("embed", crops, "--clean", tmp_path / "x", "--out", tmp_path / "v.npz"), "no labels")
