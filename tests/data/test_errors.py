"""Errors of readers and data sets: one line each, with its code and what the message names."""

from dataclasses import replace

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.base.labels import FERPLUS_CLASSES
from mien.data.clean import Change, Clean, apply_clean, read_clean
from mien.data.dataset import Dataset
from mien.data.parquet import write_parquet
from mien.data.read import ReadOptions, load_dataset, read_data
from mien.data.synthetic import synthetic_faces
from mien.data.votes import check_votes, with_votes
from support import FERPLUS_HEADER, encoded, raises, write_images

GREY = np.random.default_rng(0).integers(0, 256, (40, 48, 48), dtype=np.uint8)
NAMES = ["Happiness", "sad"] * 20
GOOD = [7] * 2304
HUGGING_FACE = {"huggingface": '{"info": {"features": {"label": {"names": ["sad", "happy"]}}}}'}
DRAWN = synthetic_faces(60, seed=3)
LINE = '{{row = {row}, split = "{split}", label = "happy", {to}kind = "{kind}", reason = "r", source = "s"}}'
TO = 'to = "sad", '


def pixels(*values, label=3, usage="Training"):
    return f"{label},{' '.join(map(str, values))},{usage}"


def read_kaggle(folder, line):
    """Read a table of pixels whose line 12 is this one."""
    lines = ["emotion,pixels,Usage", *(pixels(*image.ravel(), label=at % 7) for at, image in enumerate(GREY))]
    lines[11] = line
    (folder / "fer2013.csv").write_text("\n".join(lines))
    read_data(folder / "fer2013.csv")


def read_table(folder, line):
    """Read a table of paths whose line 5 is this one."""
    write_images(folder, [f"images/{at}.png" for at in range(6)])
    lines = ["path,label,split", *(f"images/{at}.png,{NAMES[at]},train" for at in range(6))]
    lines[4] = line
    (folder / "labels.csv").write_bytes("\n".join(lines).encode("latin-1"))
    read_data(folder / "labels.csv")


def read_votes_of_table(folder, header):
    write_images(folder, ["0.png", "1.png"])
    numbers = ",1" * (header.count(",") - 1)
    (folder / "f.csv").write_text(f"{header}\n0.png,happy{numbers}\n1.png,sad{numbers}\n")
    read_data(folder / "f.csv")


def read_tree(folder, names):
    """Read class folders of these images; ``happy/`` is an empty folder."""
    write_images(folder, [name for name in names if name[-1] != "/"])
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True) if name[-1] == "/" else None
    read_data(folder)


def read_file(folder, file):
    name, content = file
    if content is not None:
        (folder / name).write_bytes(content)
    read_data(folder / name)


def read_labels_of_parquet(folder, labels):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"image": [encoded(image) for image in GREY[: len(labels)]], "label": labels})
    pq.write_table(table.replace_schema_metadata(HUGGING_FACE), folder / "a.parquet")
    read_data(folder / "a.parquet")


def read_columns_of_parquet(folder, names):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array([b"x"])] * len(names), names=names), folder / "a.parquet")
    read_data(folder / "a.parquet")


def read_parquet_cut_short(folder, length):
    pytest.importorskip("pyarrow")
    write_parquet(DRAWN, folder / "a.parquet")
    (folder / "a.parquet").write_bytes((folder / "a.parquet").read_bytes()[:length])
    read_data(folder / "a.parquet")


def group_folders(folder, group):
    write_images(folder, [f"{name}/p{who:02}/{at}.png" for name in ("happy", "sad") for who in (1, 2) for at in (1, 2)])
    read_data(folder, ReadOptions(group=group))


def group_cells(folder, cell):
    rows = [f"{NAMES[at]},{'ann' if at else cell},{' '.join(map(str, GREY[at].ravel()))}" for at in range(8)]
    (folder / "fer.csv").write_text("\n".join(["emotion,who,pixels", *rows]))
    load_dataset(folder / "fer.csv", group="who")


def from_arrays(folder, change):
    Dataset.from_arrays(**{"images": GREY, "labels": NAMES, **change})


def add_votes(folder, text):
    (folder / "v.csv").write_text(text)
    with_votes(DRAWN, folder / "v.csv")


def voted(folder, votes, classes=FERPLUS_CLASSES):
    check_votes(replace(DRAWN, votes=votes, vote_classes=classes))


def clean_lines(folder, text):
    if text is not None:
        head = "" if "version" in text or text == "nonsense" else 'version = 1\ndata_fingerprint = "x"\n'
        (folder / "clean.toml").write_text(head + text)
    read_clean(folder / "clean.toml")


def line(row=1, split="train", to="", kind="copy"):
    return LINE.format(row=row, split=split, to=to, kind=kind)


def clean_first_row(folder, change):
    own = {"row": int(DRAWN.rows[0]), "split": str(DRAWN.split[0]), "label": DRAWN.classes[DRAWN.labels[0]]}
    listed = Change(**{**own, "kind": "conflict", "reason": "", "source": "", **change})
    apply_clean(DRAWN, Clean(DRAWN.fingerprint, (listed,)))


NEGATIVE = np.eye(10, dtype=np.int64)[[0] * 60]
NEGATIVE[7, 0] = -1

CASES = [
    (read_kaggle, pixels(*GOOD[1:], 300), "pixels", "fer2013.csv line 12: ", 300, "0..255"),
    (read_kaggle, pixels(65636, *GOOD[1:]), "pixels", 65636),
    (read_kaggle, pixels(*GOOD[95:]), "pixels", "2,304 pixels (48x48)", "2,209"),
    (read_kaggle, pixels(), "pixels", "2,304", 0),
    (read_kaggle, pixels(*GOOD[1:], "x"), "pixels", "line 12"),
    (read_kaggle, pixels(*GOOD[1:], "0.27"), "pixels", "0.27", "multiply by 255 and round"),
    (read_kaggle, pixels("[7 7 7 ... 7]"), "pixels", "'...'"),
    (read_kaggle, pixels(*GOOD, label=9), "labels", "line 12: label 9", "0 angry, 1 disgust, 2 fear, 3 happy"),
    (read_kaggle, pixels(*GOOD, label=""), "labels", "line 12"),
    (read_kaggle, pixels(*GOOD, usage="Holdout"), "split-unknown", "line 12", "'Holdout'"),
    (read_kaggle, pixels(*GOOD)[:4000], "columns", "line 12", 3, 2),
    (read_kaggle, "3", "columns", 3, 1),
    (read_table, "images/99.png,happy,train", "image-unreadable", "labels.csv line 5", "99.png"),
    (read_table, "images/3.png,happy", "columns", "labels.csv line 5", 3, 2),
    (read_table, "images/3.png,,train", "labels", "labels.csv line 5"),
    (read_table, "images/3.png,müde,train", "file-unreadable", "labels.csv", "UTF-8"),
    (read_table, ",happy,train", "image-missing", "labels.csv line 5"),
    (read_table, "images/3.png,happy,tomorrow", "split-unknown", "labels.csv line 5", "'tomorrow'"),
    (read_table, "images/3.png,happy,", "split-unknown", "images/3.png"),
    (read_votes_of_table, "path,label,votes_sad,votes_happy,votes_total", "votes", "votes_total"),
    (read_votes_of_table, "path,label,votes_sad,votes_", "votes", "votes_."),
    (read_votes_of_table, "path,label,votes_happy,votes_happiness", "votes", "happy, happy"),
    (read_votes_of_table, "path,label,votes_happy,votes_sad,votes_happy", "columns", "'votes_happy'"),
    (read_file, ("weather.csv", b"day,rain\n"), "columns", "weather.csv line 1", "day, rain", "emotion,pixels"),
    (read_file, ("weather.csv", b"\x89PNG\r\n\xff\xfe"), "file-unreadable", "weather.csv line 1"),
    (read_file, ("missing.csv", None), "data-missing", "missing.csv"),
    (read_file, ("empty.csv", b""), "data-empty", "empty.csv"),
    (read_file, ("empty.parquet", b""), "data-empty", "empty.parquet"),
    (read_file, ("fer2013.tar.gz", b"\x1f\x8b"), "data-unknown", "fer2013.tar.gz"),
    (read_file, ("notes.docx", b"x"), "data-unknown", "notes.docx"),
    (read_tree, ["happy/1.png", "happy/2.png"], "too-few-classes", "'happy'", "happy/face.png"),
    (read_tree, ["a.png", "b.png"], "data-unknown", "2 images"),
    (read_tree, ["happy/", "sad/"], "data-empty", "class folders"),
    (read_tree, ["train_set/angry/1.png", "val_set/happy/1.png"], "data-unknown", "train_set"),
    (read_tree, ["a/train/1.png", "a/test_set/1.png", "b/train/1.png"], "data-unknown", "test_set"),
    (read_tree, ["train_set/images/1.png", "val_set/images/1.png"], "data-unknown", "train_set", "val_set"),
    (read_tree, ["FER2013Train/1.png", "FER2013Valid/1.png", "FER2013Test/1.png"], "data-unknown", "FER2013Test"),
    (read_tree, [f"{one}/{name}/1.png" for one in ("train-images", "other") for name in ("angry", "happy")],
     "data-unknown", "train-images", "folder1"),
    (read_tree, [f"{one}/{name}/1.png" for one in ("S001", "S002") for name in ("Anger", "sad")],
     "data-unknown", "S001", "folder1"),
    (read_tree, [f"train/{one}/{name}/1.png" for one in ("S001", "S002") for name in ("angry", "happy")],
     "data-unknown", "S002", "folder1"),
    (read_tree, ["happy/train/1.png", "happy/val/2.png", "sad/train/3.png", "fear/4.png"], "split-unknown", "fear"),
    (read_labels_of_parquet, [0, 1, -1], "labels", "a.parquet row 2", "label -1", "0..1"),
    (read_labels_of_parquet, [0, 1, 2], "labels", "a.parquet row 2", "label 2", "0..1"),
    (read_labels_of_parquet, [[0, 1]] * 3, "labels", "a.parquet row 0", "'label'"),
    (read_labels_of_parquet, [{"angry": 1}] * 3, "labels", "a.parquet row 0", "'label'"),
    (read_columns_of_parquet, ["day"], "columns", "a.parquet", "image", "day"),
    (read_columns_of_parquet, ["image"], "columns", "a.parquet", "label"),
    (read_columns_of_parquet, ["image", "label", "age", "age"], "columns", "a.parquet", "age"),
    (read_parquet_cut_short, -100, "file-unreadable", "a.parquet"),
    (group_folders, "person", "columns", "'person'"),
    (group_folders, "(", "group", "'(': missing )"),
    (group_folders, "(a)(b)", "group", "found 2"),
    (group_folders, "(x)", "group", "none of 8"),
    (group_folders, "/(p01)/", "group", "happy/p02/1.png", "4 of 8"),
    *((group_cells, cell, "group", "line 2") for cell in ("NA", "n/a", "None", "NaN", "<NA>", "-", "")),
    (from_arrays, {"images": GREY / 255}, "image-type", "float64"),
    (from_arrays, {"images": GREY[:0], "labels": []}, "data-empty", "none"),
    (from_arrays, {"images": iter(GREY)}, "image-type", "iterator"),
    (from_arrays, {"labels": NAMES[:3]}, "length", "labels"),
    (from_arrays, {"labels": [["a"], ["b", "c"]] * 20}, "length", "labels"),
    (from_arrays, {"labels": [0, 1] * 20}, "labels", "classes="),
    (from_arrays, {"labels": [0, 2] * 20, "classes": ["a", "b"]}, "labels", 2),
    (from_arrays, {"labels": [0.0, 1.0] * 20, "classes": ["a", "b"]}, "labels", "float64"),
    (from_arrays, {"classes": ["happy", "sad"]}, "labels", "'Happiness'"),
    (from_arrays, {"labels": ["sad"] * 40}, "too-few-classes", "found: sad"),
    (from_arrays, {"labels": ["", "angry"] * 20}, "labels", "labels[0]"),
    (from_arrays, {"labels": ["sad", "NA"] * 20}, "labels", "labels[1]"),
    (from_arrays, {"labels": [0, 1] * 20, "classes": ["angry", ""]}, "labels", "images[1]"),
    (from_arrays, {"split": ["train", "somewhere"] * 20}, "split-unknown", "'somewhere'"),
    (from_arrays, {"sample_ids": [1] * 40}, "sample-ids", "once"),
    (from_arrays, {"sample_ids": 2**63 + np.arange(40, dtype=np.uint64)}, "sample-ids", "whole numbers"),
    (from_arrays, {"size_px": 4}, "image-size", 4),
    (from_arrays, {"groups": [1, 2]}, "group", "groups"),
    (from_arrays, {"groups": np.arange(40) / 2}, "group", "float64"),
    (from_arrays, {"images": GREY[:6], "labels": ["sad", "sad", *["happy"] * 3, "fear"], "groups": [*"aabbca"]},
     "class-too-small", "'a'"),
    (add_votes, "a,b\n", "votes", "v.csv", "fer2013new.csv"),
    (add_votes, f"{FERPLUS_HEADER}\n", "votes", "no rows"),
    (add_votes, f"{FERPLUS_HEADER}\nTraining,x.png,1,2\n", "columns", "line 2"),
    (add_votes, f"{FERPLUS_HEADER}\nTraining,x.png,1,-2,0,0,0,0,0,0,0,0\n", "votes", "line 2"),
    (add_votes, f"{FERPLUS_HEADER}\nTrainer,x.png,1,2,0,0,0,0,0,0,0,0\n", "votes", "line 2"),
    (voted, None, "votes-missing", "--votes"),
    (voted, np.zeros((60, 10)), "votes", 60, "train"),
    (voted, NEGATIVE, "votes", "row 7", -1),
    (voted, np.ones((60, 3)), "votes", "(60, 10)"),
    (lambda folder, classes: voted(folder, np.ones((60, 2)), classes), ("sad", "sad"), "votes", "sad, sad"),
    (clean_lines, None, "clean", "mien audit"),
    (clean_lines, "nonsense", "clean", "clean.toml"),
    (clean_lines, "version = 1", "clean", "data_fingerprint"),
    (clean_lines, 'version = 2\ndata_fingerprint = "x"', "clean", "version"),
    (clean_lines, 'version = 1\ndata_fingerprint = "x"\ncolour = 3', "clean", "colour"),
    (clean_lines, 'drop = [{row = "a"}]', "clean", "drop[0]"),
    (clean_lines, f"drop = [{line()}, {line()}]", "clean", "row 1"),
    (clean_lines, f"drop = [{line(row='3.0')}]", "clean", "drop[0].row"),
    (clean_lines, f"drop = [{line(row='9' * 5000)}]", "clean", "too many digits"),
    (clean_lines, f"drop = [{line(kind='coppy')}]", "clean", "kind"),
    (clean_lines, f"drop = [{line(split='trian')}]", "clean", "split"),
    (clean_lines, f"relabel = [{line()}]", "clean", "to"),
    (clean_lines, f"drop = [{line(to=TO)}]", "clean", "to"),
    (clean_lines, f"drop = [{line(split='validation', kind='doubt')}]", "clean-unproved", "'doubt'"),
    (clean_lines, f"drop = [{line(split='validation')}]", "clean-unproved", "validation"),
    (clean_lines, f"relabel = [{line(split='test', to=TO, kind='conflict')}]", "clean-unproved", "test"),
    (clean_first_row, {"row": 10**6}, "data-differs", 10**6),
    (clean_first_row, {"label": "bored"}, "data-differs", "bored"),
    (clean_first_row, {"to": "bored"}, "clean", "'bored'"),
    (lambda _, count: synthetic_faces(count), 6, "options", 6),
    (lambda _, seed: synthetic_faces(7, seed), -1, "options", -1),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{at}-{case[2]}" for at, case in enumerate(CASES)])
def test_data_rejects(case, tmp_path):
    call, given, code, *named = case
    with raises(DataError, code, *named):
        call(tmp_path, given)
